#!/usr/bin/python3
"""Write scikit-learn's handwritten digits (1797 images of 8 x 8 pixels) to FILE.

One image per line: 64 pixel values 0..16, row by row, then the label 0..9, separated by commas.
"""

import argparse
import os
import sys


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", metavar="FILE", help="where the CSV goes; replaced as a whole")
    file = parser.parse_args().file
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        sys.exit("export_digits: scikit-learn is missing (Debian package python3-sklearn)")
    digits = load_digits()
    partial = file + ".partial"
    with open(partial, "w", encoding="ascii") as out:
        for pixels, label in zip(digits.data, digits.target):
            out.write(",".join(f"{int(value)}" for value in (*pixels, label)) + "\n")
    os.replace(partial, file)


if __name__ == "__main__":
    main()
