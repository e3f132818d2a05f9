#include "slowsde/experiments/json.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <stdexcept>

namespace slowsde {

namespace {

// Length of the well-formed UTF-8 sequence at the beginning of s (Unicode 15, table 3-7), 0 if there is none.
std::size_t utf8_length(std::string_view s) {
  const auto byte = [&](std::size_t i) { return i < s.size() ? static_cast<unsigned char>(s[i]) : 0u; };
  const auto follows = [&](std::size_t i, unsigned low = 0x80, unsigned high = 0xBF) {
    return byte(i) >= low && byte(i) <= high;
  };
  const unsigned b = byte(0);
  if (b < 0x80) return 1;
  if (b >= 0xC2 && b <= 0xDF) return follows(1) ? 2 : 0;
  if (b >= 0xE0 && b <= 0xEF) {
    return follows(1, b == 0xE0 ? 0xA0 : 0x80, b == 0xED ? 0x9F : 0xBF) && follows(2) ? 3 : 0;
  }
  if (b >= 0xF0 && b <= 0xF4) {
    return follows(1, b == 0xF0 ? 0x90 : 0x80, b == 0xF4 ? 0x8F : 0xBF) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

// A reader that hands what it reads to a writer.
class Copy {
 public:
  Copy(std::string_view json, JsonWriter& out) : json_(json), out_(out) {}

  void all() {
    value(0);
    space();
    if (at_ != json_.size()) fail();
  }

 private:
  [[noreturn]] void fail() const { throw std::invalid_argument(fmt::format("not JSON at byte {}", at_)); }
  char peek() const { return at_ < json_.size() ? json_[at_] : '\0'; }
  void space() {
    while (at_ < json_.size() && std::string_view(" \t\r\n").find(json_[at_]) != std::string_view::npos)
      ++at_;
  }
  bool take(std::string_view word) {
    if (json_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  void need(std::string_view word) {
    space();
    if (!take(word)) fail();
  }

  // The text between quotes with its escapes resolved as far as the writer would make others of them.
  std::string text() {
    need("\"");
    std::string out;
    while (peek() != '"') {
      if (at_ >= json_.size() || static_cast<unsigned char>(peek()) < 0x20) fail();
      if (!take("\\")) {
        out += json_[at_++];
        continue;
      }
      const char c = peek();
      ++at_;
      switch (c) {
        case '"':
        case '\\':
        case '/':
          out += c;
          break;
        case 'b':
          out += '\b';
          break;
        case 'f':
          out += '\f';
          break;
        case 'n':
          out += '\n';
          break;
        case 'r':
          out += '\r';
          break;
        case 't':
          out += '\t';
          break;
        case 'u':
          append_utf8(code_point(), out);
          break;
        default:
          fail();
      }
    }
    ++at_;
    return out;
  }

  unsigned hex4() {
    unsigned code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const std::size_t digit = std::string_view("0123456789abcdef").find(static_cast<char>(peek() | 0x20));
      if (digit == std::string_view::npos || peek() == '\0') fail();
      code = code * 16 + static_cast<unsigned>(digit);
    }
    return code;
  }

  unsigned code_point() {
    const unsigned high = hex4();
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || !take("\\u")) return 0xFFFD;
    const unsigned low = hex4();
    return low < 0xDC00 || low > 0xDFFF ? 0xFFFD : 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  static void append_utf8(unsigned code, std::string& out) {
    const auto tail = [&](unsigned shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      tail(0);
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | (code >> 12));
      tail(6), tail(0);
    } else {
      out += static_cast<char>(0xF0 | (code >> 18));
      tail(12), tail(6), tail(0);
    }
  }

  void value(int depth) {
    if (depth > 100) fail();
    space();
    if (peek() == '{') {
      ++at_;
      out_.begin_object();
      space();
      for (bool first = true; peek() != '}'; first = false) {
        if (!first) need(",");
        space();
        out_.key(text());
        need(":");
        value(depth + 1);
        space();
      }
      ++at_;
      out_.end_object();
    } else if (peek() == '[') {
      ++at_;
      out_.begin_array();
      space();
      for (bool first = true; peek() != ']'; first = false) {
        if (!first) need(",");
        value(depth + 1);
        space();
      }
      ++at_;
      out_.end_array();
    } else if (peek() == '"') {
      out_.value(text());
    } else if (take("true")) {
      out_.value(true);
    } else if (take("false")) {
      out_.value(false);
    } else if (take("null")) {
      out_.null();
    } else {
      number();
    }
  }

  void number() {
    const std::size_t begin = at_;
    take("-");
    const auto digits = [&] {
      const std::size_t from = at_;
      while (peek() >= '0' && peek() <= '9') ++at_;
      if (at_ == from) fail();
    };
    if (!take("0")) digits();
    const bool integer = peek() != '.' && (peek() | 0x20) != 'e';
    if (take(".")) digits();
    if (take("e") || take("E")) {
      if (!take("+")) take("-");
      digits();
    }
    const std::string text(json_.substr(begin, at_ - begin));
    if (integer && text.size() <= 18) {
      out_.value(std::stoll(text));
    } else {
      out_.value(std::strtod(text.c_str(), nullptr));
    }
  }

  std::string_view json_;
  JsonWriter& out_;
  std::size_t at_ = 0;
};

}  // namespace

std::string json_text(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0) {
      out += "\\ufffd";
    } else if (length > 1) {
      out += text.substr(0, length);
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      out += c;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + '"';
}

void JsonWriter::before_value() {
  if (open_.empty()) {
    if (!out_.empty()) throw std::logic_error("JSON: a second value at the top");
    return;
  }
  if (open_.back() == '{') {
    if (!after_key_) throw std::logic_error("JSON: a value without a key in an object");
    after_key_ = false;
    return;
  }
  if (!first_) out_ += ',';
  first_ = false;
  out_ += '\n';
  out_.append(2 * open_.size(), ' ');
}

JsonWriter& JsonWriter::literal(std::string_view json) {
  before_value();
  out_ += json;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  if (open_.empty() || open_.back() != '{' || after_key_)
    throw std::logic_error("JSON: a key outside an object");
  if (!first_) out_ += ',';
  first_ = false;
  out_ += '\n';
  out_.append(2 * open_.size(), ' ');
  out_ += json_text(name) + ": ";
  after_key_ = true;
  return *this;
}

JsonWriter& JsonWriter::begin_object() {
  literal("{");
  open_ += '{';
  first_ = true;
  return *this;
}

JsonWriter& JsonWriter::begin_array() {
  literal("[");
  open_ += '[';
  first_ = true;
  return *this;
}

void JsonWriter::close(char expected, char bracket) {
  if (open_.empty() || open_.back() != expected || after_key_)
    throw std::logic_error("JSON: brackets do not match");
  open_.pop_back();
  if (!first_) {
    out_ += '\n';
    out_.append(2 * open_.size(), ' ');
  }
  out_ += bracket;
  first_ = false;
}

JsonWriter& JsonWriter::end_object() {
  close('{', '}');
  return *this;
}

JsonWriter& JsonWriter::end_array() {
  close('[', ']');
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) { return literal(json_text(text)); }
JsonWriter& JsonWriter::null() { return literal("null"); }

JsonWriter& JsonWriter::value(double number) {
  return literal(std::isfinite(number) ? fmt::format("{}", number) : "null");
}

JsonWriter& JsonWriter::raw(std::string_view json) {
  Copy(json, *this).all();
  return *this;
}

std::string JsonWriter::text() const {
  if (!open_.empty() || out_.empty()) throw std::logic_error("JSON: the value is not complete");
  return out_ + '\n';
}

}  // namespace slowsde
