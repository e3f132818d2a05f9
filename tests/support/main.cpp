// The main of every test executable: doctest's, except that a run in which no test case was selected fails,
// and that a test that needs a GPU (SLOWSDE_TEST_NEEDS_GPU) says that it was skipped where there is none.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#ifdef SLOWSDE_TEST_NEEDS_GPU
#include <cuda_runtime_api.h>
#endif

namespace {

// Counts what doctest itself does not turn into an exit status.
struct CaseCounter : doctest::IReporter {
  static inline unsigned cases_run = 0;

  explicit CaseCounter(const doctest::ContextOptions&) {}
  void report_query(const doctest::QueryData&) override {}
  void test_run_start() override {}
  void test_run_end(const doctest::TestRunStats&) override {}
  void test_case_start(const doctest::TestCaseData&) override { ++cases_run; }
  void test_case_reenter(const doctest::TestCaseData&) override {}
  void test_case_end(const doctest::CurrentTestCaseStats&) override {}
  void test_case_exception(const doctest::TestCaseException&) override {}
  void subcase_start(const doctest::SubcaseSignature&) override {}
  void subcase_end() override {}
  void log_assert(const doctest::AssertData&) override {}
  void log_message(const doctest::MessageData&) override {}
  void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("case_counter", 1, CaseCounter);

}  // namespace

int main(int argc, char** argv) {
#ifdef SLOWSDE_TEST_NEEDS_GPU
  int devices = 0;
  const cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver) {
    std::printf("skipped: %s\n", cudaGetErrorString(error));
    return 77;  // ctest's SKIP_RETURN_CODE for these tests
  }
  if (error != cudaSuccess) {
    std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
    return 1;
  }
#endif
  doctest::Context context(argc, argv);
  const int status = context.run();
  if (context.shouldExit()) return status;  // a query such as --list-test-cases
  if (CaseCounter::cases_run == 0) {
    std::fprintf(stderr, "no test case was run\n");
    return 1;
  }
  return status;
}
