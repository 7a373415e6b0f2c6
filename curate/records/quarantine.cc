// What a record that could not be read leaves in the quarantine. Tested by tests/curate/run_test.cc.
#include "curate/records/quarantine.h"

#include <fmt/format.h>

#include <iterator>

#include "base/text.h"
#include "base/unicode.h"

namespace curate {

void append_quarantine(std::string& out, std::string_view file, const base::Place& place, std::string_view bytes,
                       std::uint64_t size, std::string_view error) {
  constexpr std::size_t kMost = 64 << 10;
  out += "{\"file\":";
  base::append_json_string(out, base::valid_utf8(file));
  out += fmt::format(",\"offset\":{},\"line\":{},\"size\":{},\"error\":", place.offset, place.line, size);
  base::append_json_string(out, base::valid_utf8(error));
  bytes = bytes.substr(0, kMost);
  std::size_t cut = base::find_invalid_utf8(bytes);
  // A code point cut in two at the limit is not the input's fault.
  if (cut != bytes.npos && bytes.size() == kMost && cut + 4 > kMost) bytes = bytes.substr(0, cut), cut = bytes.npos;
  if (cut == bytes.npos) {
    out += ",\"text\":";
    base::append_json_string(out, bytes);
  } else {
    out += ",\"hex\":\"";
    for (unsigned char c : bytes) fmt::format_to(std::back_inserter(out), "{:02x}", c);
    out += '"';
  }
  out += "}\n";
}

}  // namespace curate
