#include "slowsde/problems/cifar.hpp"

#include <cstdint>
#include <limits>

#include "slowsde/problems/binary_file.hpp"
#include "slowsde/problems/requirement.hpp"

namespace slowsde {

ClassificationData read_cifar10(const std::vector<std::string>& files) {
  detail::require(!files.empty(), "CIFAR-10", "files >= 1", files.size());
  constexpr std::uint64_t pixels = 3072, record = pixels + 1, record_of_cifar100 = pixels + 2;
  ClassificationData data{.shape = {3, 32, 32}, .classes = 10, .x = {}, .labels = {}};
  for (const std::string& file : files) {
    BinaryFile in(file);
    if (in.size() % record != 0) {
      in.fail(
          "its length of " + std::to_string(in.size()) +
          " bytes is not a multiple of 3073, a record of CIFAR-10" +
          (in.size() % record_of_cifar100 == 0 ? "; it looks like CIFAR-100, whose records have 3074" : ""));
    }
    const std::uint64_t count = in.size() / record;
    if (count > static_cast<std::uint64_t>(std::numeric_limits<int>::max()) - data.labels.size()) {
      in.fail("makes more than 2^31 - 1 samples");
    }
    data.x.reserve(data.x.size() + count * pixels);
    data.labels.reserve(data.labels.size() + count);
    std::vector<std::uint8_t> bytes(record);
    for (std::uint64_t i = 0; i < count; ++i) {
      in.read(bytes.data(), record, "a record");
      if (bytes[0] > 9) {
        in.fail("label " + std::to_string(bytes[0]) + " of record " + std::to_string(i) +
                " is not below 10: is this the binary version?");
      }
      data.labels.push_back(bytes[0]);
      for (std::uint64_t k = 1; k < record; ++k) data.x.push_back(static_cast<float>(bytes[k]) / 255);
    }
  }
  return data;
}

}  // namespace slowsde
