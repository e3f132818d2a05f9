// A JSON writer: the text is well-formed by construction, commas and escapes are its business.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace slowsde {

/// Writes one JSON value, indented by two spaces. Numbers that are not finite become null (JSON has none);
/// bytes that are not UTF-8 become U+FFFD. Throws std::logic_error where the calls do not form one value,
/// such as a value in an object without its key.
class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(double number);
  JsonWriter& null();
  /// A text that is JSON already, indented anew; throws std::invalid_argument if it is not.
  JsonWriter& raw(std::string_view json);

  template <class T>
  requires std::is_integral_v<T> JsonWriter& value(T number) {
    if constexpr (std::is_same_v<T, bool>) {
      return literal(number ? "true" : "false");
    } else {
      return literal(std::to_string(number));
    }
  }
  template <class T>
  JsonWriter& value(const std::vector<T>& values) {
    begin_array();
    for (const T& element : values) value(element);
    return end_array();
  }

  /// key(name).value(content)
  template <class T>
  JsonWriter& member(std::string_view name, const T& content) {
    return key(name).value(content);
  }

  /// The whole text with a newline at its end; throws std::logic_error while something is still open.
  std::string text() const;

 private:
  JsonWriter& literal(std::string_view json);
  void before_value();
  void close(char expected, char bracket);

  std::string out_;
  std::string open_;  // the brackets that are open
  bool first_ = true, after_key_ = false;
};

/// The text in quotes, escaped.
std::string json_text(std::string_view text);

}  // namespace slowsde
