// Text in HTML pages. Tested by tests/base/text_test.cc.
#include "base/html.h"

namespace base {

std::string html_escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (static_cast<unsigned char>(c) >= 32 || c == '\n' || c == '\t') {
      out += c;
    }
  }
  return out;
}

}  // namespace base
