// Writing GGUF files. Tested by tests/base/gguf_test.cc.
#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/gguf_types.h"

namespace base {
using namespace gguf;
namespace {

std::uint32_t ggml_number(DType type) {
  for (const GgmlType& known : kGgmlTypes)
    if (known.type == type) return known.number;
  throw Error({"GGUF cannot hold this type", "", std::string(name_of(type)), "", ""});
}

// Appends the file form of metadata to `out`.
class Encoder {
 public:
  std::string out;

  template <class T>
  void put(T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put_text(std::string_view text) {
    put<std::uint64_t>(text.size());
    out += text;
  }
  void put_integer(GgufValue::Type type, std::int64_t value) {
    // Two's complement, little-endian: the low bytes are the value of the smaller type.
    out.append(reinterpret_cast<const char*>(&value), scalar_bytes(type));
  }
  void put_number(GgufValue::Type type, double value) {
    if (type == GgufValue::kF32) {
      put(static_cast<float>(value));
    } else {
      put(value);
    }
  }
  void put_value(const GgufValue& value) {
    put<std::uint32_t>(value.type);
    if (value.type != GgufValue::kArray) {
      if (value.type == GgufValue::kString) return put_text(std::get<std::string>(value.value));
      if (is_integer(value.type)) return put_integer(value.type, std::get<std::int64_t>(value.value));
      return put_number(value.type, std::get<double>(value.value));
    }
    put<std::uint32_t>(value.element_type);
    if (value.element_type == GgufValue::kString) {
      const auto& items = std::get<Texts>(value.value);
      put<std::uint64_t>(items.size());
      for (const std::string_view item : items) put_text(item);
    } else if (is_integer(value.element_type)) {
      const auto& items = std::get<std::vector<std::int64_t>>(value.value);
      put<std::uint64_t>(items.size());
      for (std::int64_t item : items) put_integer(value.element_type, item);
    } else {
      const auto& items = std::get<std::vector<double>>(value.value);
      put<std::uint64_t>(items.size());
      for (double item : items) put_number(value.element_type, item);
    }
  }
};

}  // namespace

GgufWriter::GgufWriter(const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, GgufValue>>& metadata, std::vector<Entry> entries)
    : TensorWriter(path, std::move(entries), kAlignment) {
  Encoder header;
  header.out = "GGUF";
  header.put<std::uint32_t>(3);
  header.put<std::uint64_t>(this->entries().size());
  // A copied alignment would not be true of this file: 32 is the default and needs no key.
  auto is_written = [](const auto& pair) { return pair.first != "general.alignment"; };
  header.put<std::uint64_t>(static_cast<std::uint64_t>(std::count_if(metadata.begin(), metadata.end(), is_written)));
  std::set<std::string> seen;
  for (const auto& [key, value] : metadata) {
    if (!seen.insert(key).second) throw Error({"metadata key declared twice", path.string(), key, "", ""});
    if (key == "general.alignment") continue;
    header.put_text(key);
    header.put_value(value);
  }
  seen.clear();
  std::uint64_t offset = 0;
  for (const Entry& entry : this->entries()) {
    if (entry.name.size() > kMostNameBytes || entry.shape.size() > kMostDimensions || !seen.insert(entry.name).second)
      throw Error({"GGUF cannot hold this tensor", path.string(), entry.name,
                   "a unique name of at most 63 bytes, at most 4 dimensions", ""});
    header.put_text(entry.name);
    header.put<std::uint32_t>(static_cast<std::uint32_t>(entry.shape.size()));
    for (auto size = entry.shape.rbegin(); size != entry.shape.rend(); ++size) header.put<std::int64_t>(*size);
    header.put<std::uint32_t>(ggml_number(entry.type));
    header.put<std::uint64_t>(offset);
    offset = padded(offset + byte_size(entry.type, entry.shape), kAlignment);
  }
  header.out.resize(padded(header.out.size(), kAlignment), '\0');
  write_header(header.out);
}

}  // namespace base
