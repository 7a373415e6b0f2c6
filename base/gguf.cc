// GGUF files, version 2 and 3 (format: ggml/docs/gguf.md). Tested by tests/base/gguf_test.cc.
#include "base/gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "base/gguf_part.h"
#include "base/gguf_types.h"
#include "base/text.h"

namespace base {
using namespace gguf;
namespace {

// Where this part stands among those of its model: split.no of split.count, as llama-gguf-split writes them.
struct Place {
  std::int64_t number = 0, count = 1;
};

Place place_of(const Part& part) {
  const auto integer = [&](std::string_view key) -> std::int64_t {
    for (const auto& [name, value] : part.metadata)
      if (const auto* held = std::get_if<std::int64_t>(&value.value); held && name == key) return *held;
    return 0;
  };
  Place place;
  if (const std::int64_t count = integer("split.count"); count > 1) place = {integer("split.no"), count};
  if (place.number < 0 || place.number >= place.count || place.count > 99999)
    throw Error({"impossible split of a GGUF", part.file.path().string(),
                 fmt::format("part {} of {}", place.number, place.count), "", "fetch the file again"});
  return place;
}

// NAME-00001-of-00003.gguf -> NAME-0000N-of-00003.gguf.
std::filesystem::path path_of(const std::filesystem::path& first, const Place& place) {
  const std::string name = first.filename().string(), end = fmt::format("-of-{:05}.gguf", place.count);
  if (!name.ends_with(end) || name.size() < end.size() + 6)
    throw Error({"a part of a GGUF under another name", first.string(), name, "NAME-00001" + end + " and so on",
                 "give all parts the names that they came with"});
  return first.parent_path() /
         (name.substr(0, name.size() - end.size() - 5) + fmt::format("{:05}", place.number + 1) + end);
}

std::string_view kind_of(const GgufValue& value) {
  constexpr std::string_view kKinds[] = {"an integer",         "a number",          "text",
                                         "a list of integers", "a list of numbers", "a list of texts"};
  return kKinds[value.value.index()];
}

template <class T>
const T& typed(const GgufReader& file, std::string_view key, const char* expected) {
  const GgufValue* value = file.find(key);
  if (!value)
    throw Error({"missing metadata", file.path().string(), std::string(key), expected,
                 "the file was written by a program that leaves this key out; take another file of this model"});
  if (const T* held = std::get_if<T>(&value->value)) return *held;
  throw Error({fmt::format("metadata '{}' is of another kind", key), file.path().string(), std::string(kind_of(*value)),
               expected, ""});
}

}  // namespace

GgufValue GgufValue::u32(std::uint32_t v) { return {kU32, kU32, std::int64_t{v}}; }
GgufValue GgufValue::i32(std::int32_t v) { return {kI32, kU32, std::int64_t{v}}; }
GgufValue GgufValue::f32(float v) { return {kF32, kU32, double{v}}; }
GgufValue GgufValue::boolean(bool v) { return {kBool, kU32, std::int64_t{v}}; }
GgufValue GgufValue::text(std::string v) { return {kString, kU32, std::move(v)}; }
GgufValue GgufValue::texts(const std::vector<std::string>& v) { return {kArray, kString, Texts(v)}; }
GgufValue GgufValue::i32s(std::vector<std::int32_t> v) {
  return {kArray, kI32, std::vector<std::int64_t>(v.begin(), v.end())};
}
GgufValue GgufValue::f32s(std::vector<float> v) { return {kArray, kF32, std::vector<double>(v.begin(), v.end())}; }

GgufReader::GgufReader(const std::filesystem::path& path) {
  Part part = read_part(path);
  const Place place = place_of(part);
  if (place.number != 0)
    throw Error({"not the first part of a GGUF", path.string(),
                 fmt::format("part {} of {}", place.number + 1, place.count), path_of(path, {0, place.count}).string(),
                 "give the first part; the others are found beside it"});
  metadata_ = std::move(part.metadata);
  tensors_ = std::move(part.tensors);
  files_.push_back(std::move(part.file));
  for (std::int64_t number = 1; number < place.count; ++number) {
    const std::filesystem::path next = path_of(path, {number, place.count});
    if (!std::filesystem::exists(next))
      throw Error({"a part of the GGUF is missing", next.string(), "", fmt::format("{} parts", place.count),
                   "download the model again"});
    part = read_part(next);
    if (const Place found = place_of(part); found.number != number || found.count != place.count)
      throw Error({"a part of another GGUF", next.string(), fmt::format("part {} of {}", found.number + 1, found.count),
                   fmt::format("part {} of {}", number + 1, place.count), "download the model again"});
    std::ranges::move(part.tensors, std::back_inserter(tensors_));
    files_.push_back(std::move(part.file));
  }
  if (place.count > 1) check_parts();
  // They speak of the files, not of the model.
  std::erase_if(metadata_, [](const auto& entry) { return entry.first.starts_with("split."); });
}

void GgufReader::check_parts() const {
  std::unordered_set<std::string_view> names;
  for (const TensorView& tensor : tensors_)
    if (!names.insert(tensor.name).second)
      throw Error(
          {"the tensor stands in two parts", path().string(), shortened(tensor.name), "", "download the model again"});
  const GgufValue* count = find("split.tensors.count");
  const auto* expected = count ? std::get_if<std::int64_t>(&count->value) : nullptr;
  if (expected && *expected != static_cast<std::int64_t>(tensors_.size()))
    throw Error({"tensors are missing from the parts of the GGUF", path().string(), std::to_string(tensors_.size()),
                 std::to_string(*expected), "download the model again"});
}

std::vector<std::filesystem::path> GgufReader::paths() const {
  std::vector<std::filesystem::path> paths;
  for (const MappedFile& file : files_) paths.push_back(file.path());
  return paths;
}

const GgufValue* GgufReader::find(std::string_view key) const {
  for (const auto& [name, value] : metadata_)
    if (name == key) return &value;
  return nullptr;
}

std::int64_t GgufReader::integer(std::string_view key) const {
  std::int64_t value = typed<std::int64_t>(*this, key, "an integer");
  if (value < 0 && find(key)->type == GgufValue::kU64)
    throw Error({fmt::format("metadata '{}' is too large", key), path().string(), "", "below 2^63", ""});
  return value;
}

double GgufReader::number(std::string_view key) const {
  const GgufValue* value = find(key);
  if (value && std::holds_alternative<std::int64_t>(value->value)) return static_cast<double>(integer(key));
  return typed<double>(*this, key, "a number");
}

const std::string& GgufReader::text(std::string_view key) const { return typed<std::string>(*this, key, "text"); }
const Texts& GgufReader::texts(std::string_view key) const { return typed<Texts>(*this, key, "a list of texts"); }
const std::vector<std::int64_t>& GgufReader::integers(std::string_view key) const {
  return typed<std::vector<std::int64_t>>(*this, key, "a list of integers");
}
const std::vector<double>& GgufReader::numbers(std::string_view key) const {
  return typed<std::vector<double>>(*this, key, "a list of numbers");
}

const TensorView* GgufReader::tensor(std::string_view name) const {
  for (const TensorView& tensor : tensors_)
    if (tensor.name == name) return &tensor;
  return nullptr;
}

void refuse_adapter(const GgufReader& file) {
  const GgufValue* const type = file.find("general.type");
  if (type == nullptr || type->type != GgufValue::kString || file.text("general.type") != "adapter") return;
  throw Error({"a LoRA adapter is no model", file.path().string(), "", "the model that it belongs to, its base",
               "with the adapter: --adapter FILE where the command has it, or merge it into its base: lora merge"});
}

}  // namespace base
