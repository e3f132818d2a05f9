#include "slowsde/experiments/data_config.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "slowsde/experiments/errors.hpp"
#include "tests/support/damaged.hpp"
#include "tests/support/scratch.hpp"

using namespace slowsde;
using test::big_endian;

namespace {

TrainTest read(const std::string& text) {
  ConfigTable root = ConfigTable::parse("[data]\n" + text, "run.toml");
  ConfigTable table = root.table("data");
  TrainTest parts = read_data(table);
  root.finish();
  return parts;
}

template <class Error>
std::string message(const std::string& text) {
  try {
    read(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

// Line i: 100·i + column for each of the inputs, then the label i mod classes.
std::string table_of(int n, int inputs, int classes) {
  std::string text;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < inputs; ++j) text += std::to_string(100 * i + j) + ",";
    text += std::to_string(i % classes) + "\n";
  }
  return text;
}

std::string idx_images(int n) {
  return big_endian(0x0803, 4) + big_endian(static_cast<unsigned>(n), 4) + big_endian(2, 4) +
         big_endian(2, 4) + std::string(static_cast<std::size_t>(4 * n), '\x33');
}
std::string idx_labels(int n) {
  return big_endian(0x0801, 4) + big_endian(static_cast<unsigned>(n), 4) +
         std::string(static_cast<std::size_t>(n), '\x07');
}

std::vector<int> ids(const ClassificationData& data) {
  std::vector<int> found;
  for (int i = 0; i < data.count(); ++i) found.push_back(static_cast<int>(data.sample(i)[0]) / 100);
  return found;
}

}  // namespace

TEST_CASE("a table of numbers is split by train, test and shuffle_seed") {
  const test::Scratch scratch;
  const std::string file =
      "name = 'csv'\nfile = '" + scratch.write("a.csv", table_of(8, 4, 3)).string() + "'\n";
  const TrainTest all = read(file);
  CHECK(all.train.count() == 8);
  CHECK(all.test.count() == 0);
  CHECK(all.train.shape == ImageShape{4, 1, 1});
  CHECK(all.train.classes == 3);
  const TrainTest some = read(file + "train = 5\nshape = [1, 2, 2]\nclasses = 4\nscale = 2.0");
  CHECK(ids(some.test) == std::vector<int>{10, 12, 14});  // doubled
  CHECK(some.train.shape == ImageShape{1, 2, 2});
  CHECK(some.train.classes == 4);
  CHECK(ids(read(file + "test = 3").train) == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(ids(read(file + "train = 2\ntest = 3").test) == std::vector<int>{2, 3, 4});
  const TrainTest shuffled = read(file + "train = 5\nshuffle_seed = 3");
  CHECK(ids(shuffled.train) != std::vector<int>{0, 1, 2, 3, 4});
  std::set<int> union_of;
  for (const auto& part : {shuffled.train, shuffled.test})
    for (const int id : ids(part)) union_of.insert(id);
  CHECK(union_of.size() == 8);
  const TrainTest standard = read(file + "train = 2\nstandardise = true");
  CHECK(standard.train.sample(0)[0] == -1);
  CHECK(standard.train.sample(1)[3] == 1);
  CHECK(standard.test.sample(0)[0] == 3);

  const TrainTest two = read(file + "train = 3\ntest = 1\ntest_file = '" +
                             scratch.write("b.csv", table_of(2, 4, 1)).string() + "'");
  CHECK(two.train.count() == 3);
  CHECK(two.test.count() == 1);
  CHECK(two.test.classes == 3);  // those of both files
  const std::string named = scratch.write("named.csv", "kind,x\n1,500\n0,600\n").string();
  CHECK(ids(read("name = 'csv'\nheader = true\nlabel = 'kind'\nfile = '" + named + "'").train) ==
        std::vector<int>{5, 6});
  CHECK(ids(read("name = 'csv'\nheader = true\nlabel = 0\nfile = '" + named + "'").train) ==
        std::vector<int>{5, 6});
}

TEST_CASE("files of the other formats are read with their test parts") {
  const test::Scratch scratch;
  const auto quoted = [&](const std::string& name, const std::string& text) {
    return std::string("'") + scratch.write(name, text).c_str() + "'";
  };
  const std::string idx =
      "name = 'idx'\nimages = " + quoted("x", idx_images(3)) + "\nlabels = " + quoted("y", idx_labels(3));
  const TrainTest mnist = read(idx + "\ntest_images = " + quoted("tx", idx_images(2)) +
                               "\ntest_labels = " + quoted("ty", idx_labels(2)));
  CHECK(mnist.train.count() == 3);
  CHECK(mnist.test.count() == 2);
  CHECK(mnist.train.shape == ImageShape{1, 2, 2});
  CHECK(mnist.test.sample(1)[3] == 0.2f);
  CHECK(mnist.train.labels[2] == 7);

  const std::string record = std::string(1, '\x05') + std::string(3072, '\x33');
  const TrainTest cifar = read("name = 'cifar10'\nfiles = [" + quoted("1.bin", record + record) + ", " +
                               quoted("2.bin", record) + "]\ntest_files = [" + quoted("t.bin", record) + "]");
  CHECK(cifar.train.count() == 3);
  CHECK(cifar.test.count() == 1);
  CHECK(cifar.test.shape == ImageShape{3, 32, 32});

  const auto npy = [](const std::string& descr, const std::string& shape, const std::string& values) {
    const std::string header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + "}";
    return std::string("\x93NUMPY\x01") + '\0' + test::little_endian(header.size(), 2) + header + values;
  };
  const TrainTest arrays = read(
      "name = 'npy'\nscale = 0.5\nsamples = " + quoted("x.npy", npy("|u1", "(2, 2)", "\x01\x02\x03\x04")) +
      "\nlabels = " + quoted("y.npy", npy("|u1", "(2,)", std::string("\x01\x00", 2))));
  CHECK(arrays.train.x == std::vector<float>{0.5, 1, 1.5, 2});
  CHECK(arrays.train.labels == std::vector<int>{1, 0});

  std::string digit;
  for (int j = 0; j < 64; ++j) digit += std::to_string(j % 17) + ",";
  const TrainTest digits = read("name = 'digits'\nfile = " + quoted("d.csv", digit + "8\n"));
  CHECK(digits.train.shape == ImageShape{1, 8, 8});
  CHECK(digits.train.classes == 10);
  CHECK(digits.train.x[16] == 1);
  CHECK(digits.train.labels[0] == 8);
}

TEST_CASE("generators make a training and a test part that do not depend on each other's size") {
  for (const std::string& name : {std::string("name = 'gaussian-mixture'\ndim = 6\nclasses = 3\n"),
                                  std::string("name = 'teacher'\ninputs = 6\nclasses = 3\nhidden = [5]\n")}) {
    const TrainTest large = read(name + "train = 30\ntest = 20"), small = read(name + "train = 30\ntest = 2");
    CHECK(large.train.x == small.train.x);
    CHECK(large.train.labels == small.train.labels);
    CHECK(large.test.sample(1)[5] == small.test.sample(1)[5]);
    CHECK(large.train.shape == ImageShape{6, 1, 1});
    CHECK(large.test.count() == 20);
    CHECK(read(name + "train = 30\ndata_seed = 2").train.x != large.train.x);
    CHECK(read(name).train.count() == 1000);
    CHECK(read(name).test.count() == 0);
  }
  CHECK(read("name = 'teacher'\nactivation = 'silu'").train.labels != read("name = 'teacher'").train.labels);
}

TEST_CASE("impossible data are an error at the place of the key") {
  const test::Scratch scratch;
  const std::string csv = scratch.write("a.csv", table_of(8, 4, 3)).string();
  const std::string file = "name = 'csv'\nfile = '" + csv + "'\n";
  const auto config = [](const std::string& text) { return message<ConfigError>(text); };
  CHECK(config("name = 'idy'")
            .find("run.toml:2:1: data.name = \"idy\" must be one of cifar10, csv, digits, idx, npy, "
                  "gaussian-mixture, teacher") == 0);
  CHECK(config(file + "train = 9") ==
        "run.toml:4:1: data.train = 9 must be from 1 to 8, the number of samples");
  CHECK(config(file + "train = 0") ==
        "run.toml:4:1: data.train = 0 must be from 1 to 8, the number of samples");
  CHECK(config(file + "train = 6\ntest = 3") ==
        "run.toml:5:1: data.test = 3 must be from 0 to 2, the samples beside those of the training");
  CHECK(config(file + "test = 8") ==
        "run.toml:4:1: data.test = 8 must be from 0 to 7, the samples beside those of the training");
  CHECK(config(file + "shape = [2, 2]").find("run.toml:4:1: data.shape = ") == 0);
  CHECK(config(file + "shape = [65536, 65536, 65536]").find("run.toml:4:1: data.shape = ") == 0);
  CHECK(config(file + "scale = 0").find("run.toml:4:1: data.scale = 0 must not be 0") == 0);
  CHECK(config(file + "shuffle = 3").find("run.toml:4:1: unknown key 'data.shuffle'") == 0);
  CHECK(config("name = 'csv'").find("data.file") != std::string::npos);
  CHECK(config("name = 'cifar10'\nfiles = []") == "run.toml:3:1: data.files = [] must name a file");
  CHECK(config("name = 'teacher'\nhidden = [0]").find("run.toml:3:1: data.hidden = ") == 0);
  CHECK(config("name = 'gaussian-mixture'\nshuffle_seed = 1").find("unknown key") != std::string::npos);
  CHECK(config("name = 'gaussian-mixture'\ntrain = 2147483647\ntest = 1") ==
        "run.toml:4:1: data.test = 1 makes more than 2^31 - 1 samples");
  const std::string other = scratch.write("b.csv", table_of(2, 3, 1)).string();
  CHECK(config(file + "test_file = '" + other + "'") ==
        "run.toml:1:2: data: the test samples have another shape than the training samples");
}

TEST_CASE("a file that cannot be used is named with the place of its key, and is no usage error") {
  const test::Scratch scratch;
  const auto io = [](const std::string& text) { return message<IoError>(text); };
  const std::string nowhere = (scratch / "nowhere").string();
  CHECK(io("name = 'digits'\nfile = '" + nowhere + "'") ==
        "run.toml:3:1: data.file = \"" + nowhere + "\" cannot be used: " + nowhere +
            ": cannot be opened: No such file or directory (scripts/export_digits.py writes the digits)");
  const std::string x = scratch.write("x", idx_images(3).substr(1)).string();
  CHECK(io("name = 'idx'\nimages = '" + x + "'\nlabels = '" + x + "'") ==
        "run.toml:3:1: data.images = \"" + x + "\" cannot be used: " + x +
            ": is not an IDX file: it does not begin with two zero bytes");
  const std::string gz = scratch.write("a.csv", "\x1f\x8b rest").string();
  CHECK(io("name = 'csv'\nfile = '" + gz + "'").find(": is gzip-compressed: gunzip it first") !=
        std::string::npos);
  const std::string good = scratch.write("good.csv", "1,0\n").string();
  CHECK(io("name = 'csv'\nfile = '" + good + "'\ntest_file = '" + gz + "'")
            .find("run.toml:4:1: data.test_file") == 0);
}

TEST_CASE("the recipe of the batches is read, and refused where the data do not allow it") {
  const TrainTest parts = read("name = 'gaussian-mixture'\ndim = 6");
  ClassificationData images = parts.train;
  images.shape = {1, 2, 3};
  const auto recipe = [](const std::string& text, const ClassificationData& data, bool targets) {
    ConfigTable root = ConfigTable::parse(text, "run.toml");
    const BatchRecipe read_from = read_batch_recipe(root, data, targets);
    root.finish();
    return read_from;
  };
  const auto refused = [&](const std::string& text, const ClassificationData& data) -> std::string {
    try {
      recipe(text, data, true);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "no error";
  };
  const BatchRecipe plain = recipe("", parts.train, false);
  CHECK_FALSE(plain.augmentation.active());
  CHECK(plain.flip.probability == 0);
  CHECK_FALSE(plain.targets);
  const BatchRecipe full = recipe(
      "shift = 1\nflip = true\nlabel_flip = 0.1\nlabel_sigma = 0.5\non = 0.9\noff = 0.1", images, true);
  CHECK(full.augmentation.shift == 1);
  CHECK(full.augmentation.flip);
  CHECK(full.flip.probability == 0.1);
  CHECK(full.targets);
  CHECK(full.target.label_sigma == 0.5);
  CHECK(full.target.on == 0.9);
  CHECK(full.target.off == 0.1);
  CHECK(refused("shift = 1", parts.train) ==
        "run.toml:1:1: shift = 1 is refused: augmentation: shift < height is violated by 1");
  CHECK(refused("shift = 2", images) ==
        "run.toml:1:1: shift = 2 is refused: augmentation: shift < height is violated by 2");
  CHECK(refused("label_flip = 1.5", images) ==
        "run.toml:1:1: label_flip = 1.5 is refused: label flips: 0 <= p <= 1 is violated by 1.5");
  CHECK(refused("on = 0.0", images) == "run.toml: targets: on > off is violated by 0");
  const auto sampling = [](const std::string& text) {
    ConfigTable root = ConfigTable::parse(text, "run.toml");
    return read_sampling(root);
  };
  CHECK(sampling("") == Sampling::epoch);
  CHECK(sampling("sampling = 'with-replacement'") == Sampling::with_replacement);
  CHECK(sampling("sampling = 'distinct'") == Sampling::distinct);
  CHECK(sampling("sampling = 'fixed-shards'") == Sampling::fixed_shards);
  CHECK_THROWS_AS(sampling("sampling = 'epochs'"), ConfigError);
}
