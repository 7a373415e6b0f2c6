// Folders named KEY=VALUE, as Hive and Spark lay out tables, give their files' records a field each. Tested by
// tests/base/inputs_test.cc.
#include "base/folder_fields.h"

#include <cctype>
#include <filesystem>

#include "base/json_record.h"
#include "base/text.h"
#include "base/unicode.h"

namespace base {
namespace {

std::string decoded(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](std::size_t at) { return std::isxdigit(static_cast<unsigned char>(text[at])) != 0; };
    if (text[i] == '%' && i + 2 < text.size() && digit(i + 1) && digit(i + 2)) {
      result += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      result += text[i];
    }
  }
  return valid_utf8(result);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> folder_fields(const std::string& file) {
  std::vector<std::pair<std::string, std::string>> fields;
  if (file == "-") return fields;
  for (const auto& folder : std::filesystem::absolute(file).lexically_normal().parent_path()) {
    const std::string name = folder.string();
    const std::size_t equals = name.find('=');
    if (equals == name.npos || equals == 0) continue;
    const std::string key = decoded(name.substr(0, equals)), value = decoded(name.substr(equals + 1));
    std::erase_if(fields, [&](const auto& field) { return field.first == key; });
    std::string json;
    if (value == "__HIVE_DEFAULT_PARTITION__") {
      json = "null";
    } else {
      append_json_string(json, value);
    }
    fields.emplace_back(key, json);
  }
  return fields;
}

void add_folder_fields(Block& block, const std::vector<std::pair<std::string, std::string>>& fields) {
  JsonRecord record;
  std::string bytes;
  std::vector<Place> places;
  for_each_line(block, [&](std::string_view line, const Place& place) {
    places.push_back(place);
    if (!record.parse(line).empty()) {
      bytes += line;
      if (line.data() + line.size() != block.bytes.data() + block.bytes.size()) bytes += '\n';  // else it is cut off
      return;
    }
    const simdjson::dom::object object = record.object();
    bool empty = object.size() == 0;
    bytes += line.substr(0, line.rfind('}'));
    for (const auto& [key, value] : fields) {
      if (!object.at_key(key).error()) continue;
      if (!empty) bytes += ',';
      empty = false;
      append_json_string(bytes, key);
      (bytes += ':') += value;
    }
    bytes += "}\n";
  });
  block.bytes = std::move(bytes);
  block.places = std::move(places);
}

}  // namespace base
