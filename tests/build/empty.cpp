// A test program without a case: running it has to fail.
