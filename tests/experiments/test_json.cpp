#include "slowsde/experiments/json.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <stdexcept>

using slowsde::json_text;
using slowsde::JsonWriter;

TEST_CASE("quotes, backslashes and control characters are escaped, UTF-8 is kept") {
  CHECK(json_text("plain") == "\"plain\"");
  CHECK(json_text("a\"b\\c") == "\"a\\\"b\\\\c\"");
  CHECK(json_text("\n\t\r\x01\x7f") == "\"\\n\\t\\u000d\\u0001\\u007f\"");
  CHECK(json_text(std::string_view("\0", 1)) == "\"\\u0000\"");
  CHECK(json_text("Σ∥ψ 𝓗") == "\"Σ∥ψ 𝓗\"");
}

TEST_CASE("bytes that are not UTF-8 are replaced") {
  CHECK(json_text("a\xff"
                  "b") == "\"a\\ufffdb\"");
  CHECK(json_text("\xc3") == "\"\\ufffd\"");                               // cut short
  CHECK(json_text("\xc0\x80") == "\"\\ufffd\\ufffd\"");                    // overlong
  CHECK(json_text("\xed\xa0\x80") == "\"\\ufffd\\ufffd\\ufffd\"");         // a surrogate
  CHECK(json_text("\xf4\x90\x80\x80").find('\xf4') == std::string::npos);  // above U+10FFFF
}

TEST_CASE("objects and arrays nest with commas where they belong") {
  JsonWriter json;
  json.begin_object();
  json.member("text", "x").member("whole", 3).member("real", 0.05).member("yes", true);
  json.member("nan", std::numeric_limits<double>::quiet_NaN())
      .member("inf", std::numeric_limits<double>::infinity());
  json.member("list", std::vector<double>{1, 2.5});
  json.key("empty").begin_array().end_array();
  json.key("nothing").null();
  json.key("object").begin_object().end_object();
  json.end_object();
  CHECK(
      json.text() ==
      "{\n  \"text\": \"x\",\n  \"whole\": 3,\n  \"real\": 0.05,\n  \"yes\": true,\n  \"nan\": null,\n  "
      "\"inf\": null,\n"
      "  \"list\": [\n    1,\n    2.5\n  ],\n  \"empty\": [],\n  \"nothing\": null,\n  \"object\": {}\n}\n");
}

TEST_CASE("calls that do not form one value are refused") {
  CHECK_THROWS_AS(JsonWriter().key("x"), std::logic_error);
  CHECK_THROWS_AS(JsonWriter().begin_object().value(1), std::logic_error);
  CHECK_THROWS_AS(JsonWriter().begin_object().key("a").key("b"), std::logic_error);
  CHECK_THROWS_AS(JsonWriter().begin_object().key("a").end_object(), std::logic_error);
  CHECK_THROWS_AS(JsonWriter().begin_object().end_array(), std::logic_error);
  CHECK_THROWS_AS(JsonWriter().value(1).value(2), std::logic_error);
  CHECK_THROWS_AS(JsonWriter().begin_array().text(), std::logic_error);
  CHECK_THROWS_AS(JsonWriter().text(), std::logic_error);
}

TEST_CASE("a text that is JSON is taken in, any other is refused") {
  const auto copied = [](std::string_view text) { return JsonWriter().raw(text).text(); };
  CHECK(copied(" {\"a\":[1,-2.5e3,true,null,\"x\\u00e9\\n\\ud83d\\ude00\"],\"b\":{}} ") ==
        "{\n  \"a\": [\n    1,\n    -2500,\n    true,\n    null,\n    \"xé\\n😀\"\n  ],\n  \"b\": {}\n}\n");
  CHECK(copied("\"\\ud83d\"") == "\"\xef\xbf\xbd\"\n");  // half a surrogate pair
  CHECK(copied(copied("[[], {\"k\": [0.1]}]")) == copied("[[], {\"k\": [0.1]}]"));
  for (const char* bad : {"", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "nul", "01", "1.", "-", "\"x", "[1] 2",
                          "{a:1}", "\"\\x\"", "\"\\u12g4\""}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(copied(bad), std::invalid_argument);
  }
  CHECK_THROWS_AS(copied(std::string(5000, '[')), std::invalid_argument);
}
