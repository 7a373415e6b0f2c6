// One GGUF file, version 2 or 3, with every bound checked. Tested by tests/base/gguf_test.cc.
#include "base/gguf_part.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/gguf_types.h"
#include "base/text.h"

namespace base::gguf {
namespace {

// Takes typed values off the front of the file; every step is checked against the end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string file) : bytes_(bytes), file_(std::move(file)) {}
  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  template <class T>
  T take(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }
  std::string take_text(const char* what, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
    return std::string(take_view(what, most));
  }
  std::string_view take_view(const char* what, std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) {
    std::uint64_t size = take<std::uint64_t>(what);
    if (size > most) fail(what, fmt::format("{} bytes of text", size), fmt::format("at most {}", most));
    need(size, what);
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + position_, size);
    position_ += size;
    return text;
  }
  // A count of things of at least `least` bytes each, so that a lie cannot make us reserve memory.
  std::uint64_t take_count(std::size_t least, const char* what) {
    std::uint64_t count = take<std::uint64_t>(what);
    if (count > left() / least) fail(what, std::to_string(count), fmt::format("at most {} fit", left() / least));
    return count;
  }
  GgufValue::Type take_type() {
    auto type = take<std::uint32_t>("type of a value");
    if (type > GgufValue::kF64) fail("unknown type of a value", std::to_string(type), "0 to 12");
    return static_cast<GgufValue::Type>(type);
  }
  std::int64_t take_integer(GgufValue::Type type) {
    switch (type) {
      case GgufValue::kU8:
        return take<std::uint8_t>("value");
      case GgufValue::kI8:
        return take<std::int8_t>("value");
      case GgufValue::kU16:
        return take<std::uint16_t>("value");
      case GgufValue::kI16:
        return take<std::int16_t>("value");
      case GgufValue::kU32:
        return take<std::uint32_t>("value");
      case GgufValue::kI32:
        return take<std::int32_t>("value");
      case GgufValue::kBool:
        return take<std::uint8_t>("value") != 0;
      default:
        return take<std::int64_t>("value");
    }
  }
  double take_number(GgufValue::Type type) {
    return type == GgufValue::kF32 ? double{take<float>("value")} : take<double>("value");
  }
  [[noreturn]] void fail(const char* what, std::string value, std::string expected) const {
    throw Error({what, fmt::format("{}@{}", file_, position_), std::move(value), std::move(expected),
                 "the file is damaged or not a GGUF file; fetch it again"});
  }

 private:
  void need(std::uint64_t size, const char* what) const {
    if (size > left())
      fail("the file is truncated", fmt::format("{} bytes left", left()), fmt::format("{} bytes for {}", size, what));
  }
  std::span<const std::byte> bytes_;
  std::string file_;
  std::size_t position_ = 0;
};

GgufValue take_array(Cursor& cursor) {
  GgufValue value;
  value.type = GgufValue::kArray;
  value.element_type = cursor.take_type();
  if (value.element_type == GgufValue::kArray) cursor.fail("a list of lists", "", "a list of plain values");
  std::size_t least = value.element_type == GgufValue::kString ? 8 : scalar_bytes(value.element_type);
  std::uint64_t count = cursor.take_count(least, "length of a list");
  if (value.element_type == GgufValue::kString) {
    Texts items;
    items.reserve(count, 8 * count);
    for (std::uint64_t i = 0; i < count; ++i) items.push_back(cursor.take_view("text in a list"));
    value.value = std::move(items);
  } else if (is_integer(value.element_type)) {
    std::vector<std::int64_t> items(count);
    for (std::int64_t& item : items) item = cursor.take_integer(value.element_type);
    value.value = std::move(items);
  } else {
    std::vector<double> items(count);
    for (double& item : items) item = cursor.take_number(value.element_type);
    value.value = std::move(items);
  }
  return value;
}

GgufValue take_value(Cursor& cursor) {
  GgufValue value;
  value.type = cursor.take_type();
  if (value.type == GgufValue::kArray) return take_array(cursor);
  if (value.type == GgufValue::kString) {
    value.value = cursor.take_text("text value");
  } else if (is_integer(value.type)) {
    value.value = cursor.take_integer(value.type);
  } else {
    value.value = cursor.take_number(value.type);
  }
  return value;
}

DType take_tensor_type(Cursor& cursor, const std::string& tensor) {
  auto number = cursor.take<std::uint32_t>("tensor type");
  for (const GgmlType& known : kGgmlTypes) {
    if (known.number != number) continue;
    if (known.type) return *known.type;
    throw Error(
        {"element type not supported", shortened(tensor), known.name,
         "F32, F16, BF16, Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS or MXFP4",
         "take another file of this model, or convert it: llama-quantize --allow-requantize IN.gguf OUT.gguf Q8_0"});
  }
  cursor.fail("unknown tensor type", std::to_string(number), "a type of ggml");
}

struct TensorEntry {
  TensorView view;
  std::uint64_t offset, size;
};

TensorEntry take_tensor(Cursor& cursor) {
  TensorEntry entry;
  entry.view.name = cursor.take_text("tensor name", kMostNameBytes);
  auto dimensions = cursor.take<std::uint32_t>("number of dimensions");
  if (dimensions > kMostDimensions) cursor.fail("too many dimensions", std::to_string(dimensions), "at most 4");
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    auto size = cursor.take<std::uint64_t>("size of a dimension");
    if (size > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      cursor.fail("impossible size of a dimension", std::to_string(size), "below 2^63");
    entry.view.shape.push_back(static_cast<std::int64_t>(size));
  }
  std::reverse(entry.view.shape.begin(), entry.view.shape.end());  // the file has the row length first
  entry.view.type = take_tensor_type(cursor, entry.view.name);
  entry.offset = cursor.take<std::uint64_t>("tensor offset");
  try {
    entry.size = byte_size(entry.view.type, entry.view.shape);
  } catch (const Error& error) {
    cursor.fail("impossible tensor shape", error.facts().value, error.facts().expected);
  }
  return entry;
}

// The file's own alignment of tensors.
std::uint64_t alignment_of(const Part& part) {
  for (const auto& [key, value] : part.metadata) {
    if (key != "general.alignment") continue;
    const auto* given = std::get_if<std::int64_t>(&value.value);
    if (!given)
      throw Error({"metadata 'general.alignment' is of another kind", part.file.path().string(), "", "an integer", ""});
    if (*given < 1 || *given > 1 << 20 || (*given & (*given - 1)) != 0)
      throw Error({"bad general.alignment", part.file.path().string(), std::to_string(*given), "a power of two", ""});
    return static_cast<std::uint64_t>(*given);
  }
  return kAlignment;
}

void take_metadata(Cursor& cursor, std::uint64_t count, Part& part) {
  std::unordered_set<std::string> keys;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key = cursor.take_text("metadata key", kMostKeyBytes);
    if (key.empty()) cursor.fail("empty metadata key", "", "");
    if (!keys.insert(key).second) cursor.fail("the metadata key stands twice", shortened(key), "");
    GgufValue value = take_value(cursor);
    part.metadata.emplace_back(std::move(key), std::move(value));
  }
}

// ggml lays tensors one behind the other, each padded; anything else is a hole or an overlap.
void place_tensors(std::vector<TensorEntry> entries, std::uint64_t begin, std::uint64_t alignment, Part& part) {
  const std::span<const std::byte> bytes = part.file.bytes();
  const std::uint64_t data_size = bytes.size() < begin ? 0 : bytes.size() - begin;
  std::uint64_t expected = 0;
  for (TensorEntry& entry : entries) {
    const std::string at = part.file.path().string() + ": " + shortened(entry.view.name);
    if (entry.offset != expected)
      throw Error({"tensors leave a hole or overlap", at, fmt::format("offset {}", entry.offset),
                   std::to_string(expected), "the file is damaged; fetch it again"});
    if (entry.size > data_size || entry.offset > data_size - entry.size)
      throw Error({"the file is truncated", at, fmt::format("{} bytes of weights", data_size),
                   fmt::format("{} more from {}", entry.size, entry.offset), "download the file again"});
    if (entry.size > 0) entry.view.bytes = bytes.subspan(begin + entry.offset, entry.size);
    expected = padded(entry.offset + entry.size, alignment);
    part.tensors.push_back(std::move(entry.view));
  }
}

}  // namespace

Part read_part(const std::filesystem::path& path) {
  Part part{MappedFile(path), {}, {}};
  const std::string where = path.string();
  Cursor cursor(part.file.bytes(), where);
  if (cursor.left() < 8 || std::memcmp(part.file.bytes().data(), "GGUF", 4) != 0)
    throw Error({"not a GGUF file", where + "@0", "", "a file that begins with \"GGUF\"", ""});
  cursor.take<std::uint32_t>("magic");
  const auto version = cursor.take<std::uint32_t>("version");
  if (version != 2 && version != 3)
    throw Error(
        {"GGUF version not supported", where + "@4", std::to_string(version), "2 or 3",
         (version & 0xffff) == 0 ? "this is a big-endian file; convert it: gguf-convert-endian FILE little" : ""});
  // A tensor takes at least 24 bytes (name length, number of dimensions, type, offset), a key and value 13.
  const std::uint64_t tensor_count = cursor.take_count(24, "number of tensors");
  take_metadata(cursor, cursor.take_count(13, "number of metadata keys"), part);
  const std::uint64_t alignment = alignment_of(part);
  std::vector<TensorEntry> entries;
  std::unordered_set<std::string> names;
  for (std::uint64_t i = 0; i < tensor_count; ++i) {
    entries.push_back(take_tensor(cursor));
    if (!names.insert(entries.back().view.name).second)
      cursor.fail("the tensor stands twice", shortened(entries.back().view.name), "");
  }
  place_tensors(std::move(entries), padded(cursor.position(), alignment), alignment, part);
  return part;
}

}  // namespace base::gguf
