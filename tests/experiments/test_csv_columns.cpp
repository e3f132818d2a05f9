#include "slowsde/experiments/csv_columns.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "slowsde/experiments/errors.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;

namespace {

const std::vector<ColumnRequest> asked = {{"step", {"step", "global_step"}},
                                          {"wall time", {"wall time", "time"}}};

std::string refusal(const std::string& text, const std::vector<ColumnRequest>& columns = asked) {
  const test::Scratch dir;
  const auto file = dir.write("a.csv", text);
  try {
    read_csv_columns(file, columns);
  } catch (const IoError& e) {
    const std::string message = e.what();
    return message.substr(message.find("a.csv"));
  }
  return "no error";
}

}  // namespace

TEST_CASE("columns are found by name in any order, with others, comments, blanks and quotes around them") {
  const test::Scratch dir;
  const struct {
    const char* text;
  } same[] = {{"step,wall time\n1,0.5\n2,1.5e0\n"},
              {"Wall Time (s);loss;STEP\n0.5;x;1\n1.5;;2\n"},
              {"\xEF\xBB\xBF\"Global_Step\"\t\"Time\"\r\n1\t+0.5\r\n2\t1.5\r\n"},
              {"# by hand\n\nglobal step , time\n 1 , 0.5 \n# pause\n2,\"1.5\"\n\n"},
              {"step,time,note\n1,0.5,\"a, b\"\n2,1.5,\"\"\n"}};
  for (const auto& c : same) {
    CAPTURE(c.text);
    const SelectedColumns table = read_csv_columns(dir.write("a.csv", c.text), asked);
    CHECK(table.columns[0] == std::vector<double>{1, 2});
    CHECK(table.columns[1] == std::vector<double>{0.5, 1.5});
    CHECK(table.skipped == 0);
  }
  const SelectedColumns gaps =
      read_csv_columns(dir.write("a.csv", "step,time,loss\n1,0.5,3\n2,,3\n3,2.5,\n"), asked);
  CHECK(gaps.columns[0] == std::vector<double>{1, 3});
  CHECK(gaps.lines == std::vector<std::size_t>{2, 4});
  CHECK(gaps.skipped == 1);
  const SelectedColumns optional =
      read_csv_columns(dir.write("a.csv", "step\n7\n"), {{"step", {"step"}}, {"weight", {"weight"}, false}});
  CHECK(optional.columns[0] == std::vector<double>{7});
  CHECK(optional.columns[1].empty());
}

TEST_CASE("what is wrong with a file is said with its line") {
  CHECK(refusal("1,2\n3,4\n") ==
        "a.csv:1: no column is named step, wall time; this line, which should name them, has: 1, 2");
  CHECK(refusal("step,loss\n1,2\n") ==
        "a.csv:1: no column is named wall time; this line, which should name them, has: step, loss");
  CHECK(refusal("step,time,Global Step\n1,2,3\n") ==
        "a.csv:1: the column step is there twice, as 'step' and 'Global Step'");
  CHECK(refusal("step,time\n1,2\n\n1,2,3\n") == "a.csv:4: 3 cells where the first line has 2");
  CHECK(refusal("step,time\n1,2\n2,fast\n") == "a.csv:3: wall time = 'fast' is no finite number");
  CHECK(refusal("step,time\n1,nan\n") == "a.csv:2: wall time = 'nan' is no finite number");
  CHECK(refusal("step,time\n1,1e999\n") == "a.csv:2: wall time = '1e999' is no finite number");
  CHECK(refusal("step,time\n1,0x10\n") == "a.csv:2: wall time = '0x10' is no finite number");
  CHECK(refusal("step,time\n") == "a.csv: has no rows");
  CHECK(refusal("") == "a.csv: has no rows");
  CHECK_THROWS_AS(read_csv_columns("/nowhere/a.csv", asked), IoError);
  CHECK_THROWS_AS(read_csv_columns("/tmp", asked), IoError);
}
