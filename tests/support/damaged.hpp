// What a reader says about a file that it must refuse.
#pragma once

#include <filesystem>
#include <stdexcept>
#include <string>

namespace slowsde::test {

/// The message of the std::runtime_error that `read(file)` throws, without the name of the file at its
/// beginning; "no error" where it throws none, and the whole message where it does not begin with the file.
template <class Read>
std::string refusal(const std::filesystem::path& file, Read read) {
  try {
    read(file.string());
  } catch (const std::runtime_error& error) {
    const std::string message = error.what();
    return message.starts_with(file.string() + ":") ? message.substr(file.string().size() + 1) : message;
  }
  return "no error";
}

/// `value` in `bytes` bytes, the highest first.
inline std::string big_endian(unsigned long long value, int bytes) {
  std::string text;
  for (int b = bytes - 1; b >= 0; --b) text += static_cast<char>(value >> (8 * b) & 0xff);
  return text;
}

/// The lowest first.
inline std::string little_endian(unsigned long long value, int bytes) {
  const std::string text = big_endian(value, bytes);
  return {text.rbegin(), text.rend()};
}

/// Whether `read` refuses a directory and a missing file with their reasons.
template <class Read>
bool refuses_what_is_no_data_file(const std::filesystem::path& folder, Read read) {
  const auto says = [&](const std::filesystem::path& file, const std::string& what) {
    return refusal(file, read) == what;
  };
  return says(folder, " is a directory, not a file") &&
         says(folder / "nowhere", " cannot be opened: No such file or directory");
}

}  // namespace slowsde::test
