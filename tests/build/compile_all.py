"""What the checks that compile many files have in common."""
import concurrent.futures


def compile_all(names, compile_one, jobs, what, complaint):
    """Compiles every name, several at a time; prints what went wrong and a line of totals. The exit status."""
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for name, result in zip(names, pool.map(compile_one, names)):
            if result.returncode != 0:
                failures += 1
                print(f"{name} {complaint}:\n{result.stderr}")
    print(f"{len(names)} {what}, {failures} failures")
    return 1 if failures else 0
