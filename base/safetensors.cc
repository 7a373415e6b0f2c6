// Hugging Face safetensors files (format: safetensors/src/tensor.rs). Tested by tests/base/safetensors_test.cc.
#include "base/safetensors.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/text.h"

namespace base {
namespace {

constexpr std::uint64_t kMostHeader = 100'000'000;  // the format's own limit

std::optional<DType> type_of(std::string_view name) {
  for (DType type : {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64, DType::kI32, DType::kI16,
                     DType::kI8, DType::kU8, DType::kBool})
    if (name_of(type) == name) return type;
  return std::nullopt;
}

struct HeaderEntry {
  std::string name;
  std::string type;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> offsets;
  unsigned fields = 0;  // 1 dtype, 2 shape, 4 data_offsets
};

// Reads the header's JSON event by event: {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...,
// "__metadata__": {"key": "text"}}. A tree of JSON values would take many times the header and lose duplicate keys.
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderParser(std::string file) : file_(std::move(file)) {}
  std::vector<HeaderEntry> entries;
  std::map<std::string, std::string> metadata;

  bool key(std::string& name) override {
    if (depth_ == 1) {
      in_metadata_ = name == "__metadata__";
      if (!names_.insert(name).second) fail("the name stands twice in the header", name);
      if (!in_metadata_) entries.push_back({name, {}, {}, {}, 0});
    } else if (in_metadata_) {
      metadata_key_ = name;
      if (metadata.contains(name)) fail("the metadata key stands twice in the header", name);
    } else {
      field_ = name == "dtype" ? 1 : name == "shape" ? 2 : name == "data_offsets" ? 4 : 0;
      if (field_ == 0) fail("unknown field of a tensor", entries.back().name + "." + name);
      if (entries.back().fields & field_) fail("the field stands twice", entries.back().name + "." + name);
      entries.back().fields |= field_;
    }
    return true;
  }
  bool string(std::string& text) override {
    if (depth_ == 2 && in_metadata_) {
      metadata[metadata_key_] = text;
    } else if (depth_ == 2 && field_ == 1) {
      entries.back().type = text;
    } else {
      unexpected("text");
    }
    return true;
  }
  bool number_unsigned(std::uint64_t number) override {
    if (depth_ != 2 || !in_array_) return unexpected("a number");
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      fail("number too large", std::to_string(number));
    (field_ == 2 ? entries.back().shape : entries.back().offsets).push_back(static_cast<std::int64_t>(number));
    return true;
  }
  bool start_object(std::size_t) override {
    if (depth_ >= 2 || in_array_) return unexpected("an object");
    ++depth_;
    return true;
  }
  bool end_object() override {
    if (depth_ == 2 && !in_metadata_ && (entries.back().fields != 7 || entries.back().offsets.size() != 2))
      fail("a tensor needs dtype, shape and data_offsets [begin, end]", entries.back().name);
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (depth_ != 2 || in_metadata_ || in_array_ || (field_ != 2 && field_ != 4)) return unexpected("a list");
    return in_array_ = true;
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  // MLX writes "__metadata__": null; safetensors' own reader takes it for none.
  bool null() override { return (depth_ == 1 && in_metadata_) || unexpected("null"); }
  bool boolean(bool) override { return unexpected("a truth value"); }
  bool number_integer(std::int64_t) override { return unexpected("a negative number"); }
  bool number_float(double, const std::string&) override { return unexpected("a fraction"); }
  bool binary(nlohmann::json::binary_t&) override { return unexpected("binary"); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception&) override {
    throw Error({"the header is not valid JSON", fmt::format("{}@{}", file_, position + 8), "", "",
                 "the file is damaged or not a safetensors file; fetch it again"});
  }

 private:
  bool unexpected(const char* what) {
    fail("misplaced value in the header", what);
    return false;
  }
  [[noreturn]] void fail(const char* what, std::string_view value) {
    throw Error({what, file_, shortened(value), "the layout of a safetensors header", "fetch the file again"});
  }

  std::string file_, metadata_key_;
  std::set<std::string> names_;
  int depth_ = 0;
  unsigned field_ = 0;
  bool in_metadata_ = false, in_array_ = false;
};

bool by_name(const TensorView& left, const TensorView& right) { return left.name < right.name; }

// {"weight_map": {tensor: file}}; other keys ("metadata") are not needed to find anything.
std::map<std::string, std::string> read_index(const std::filesystem::path& path) {
  nlohmann::json json = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object())
    throw Error({"not an index of safetensors files", path.string(), "", "an object with \"weight_map\"", ""});
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : json["weight_map"].items()) {
    std::string name = file.is_string() ? file.get<std::string>() : "";
    if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string("/\\\0", 3)) != std::string::npos)
      throw Error({"bad file name in the index", path.string(), shortened(file.dump(-1, ' ', true)),
                   "the plain name of a file in the same folder", ""});
    files[tensor] = name;
  }
  return files;
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::filesystem::path& path) {
  std::filesystem::path source = path;
  if (std::filesystem::is_directory(path)) {
    source = path / "model.safetensors";
    if (!std::filesystem::exists(source)) source = path / "model.safetensors.index.json";
    if (!std::filesystem::exists(source)) {
      add_numbered(path);
      return;
    }
  }
  if (source.extension() != ".json") {
    add_file(source);
    std::sort(tensors_.begin(), tensors_.end(), by_name);
    return;
  }
  std::map<std::string, std::string> weight_map = read_index(source);
  std::set<std::string> shards;
  for (const auto& [tensor, file] : weight_map) shards.insert(file);
  for (const std::string& shard : shards) {
    if (!std::filesystem::exists(source.parent_path() / shard))
      throw Error({"a shard is missing", (source.parent_path() / shard).string(), "", "the file named in the index",
                   "download the model again"});
    std::size_t first = tensors_.size();
    add_file(source.parent_path() / shard);
    for (std::size_t i = first; i < tensors_.size(); ++i) {
      auto found = weight_map.find(tensors_[i].name);
      if (found == weight_map.end() || found->second != shard)
        throw Error({"the tensor lies in another file than the index says", (source.parent_path() / shard).string(),
                     shortened(tensors_[i].name), found == weight_map.end() ? "a tensor of the index" : found->second,
                     ""});
    }
  }
  std::sort(tensors_.begin(), tensors_.end(), by_name);
  // Every tensor lay in the file of its own name, so no name can stand twice: counting is enough.
  for (const auto& [tensor, file] : weight_map)
    if (!find(tensor))
      throw Error({"a tensor of the index is missing", (source.parent_path() / file).string(), shortened(tensor), "",
                   "download the model again"});
}

// model-00001-of-00003.safetensors ... without an index: all of them, each tensor once.
void SafetensorsReader::add_numbered(const std::filesystem::path& folder) {
  static const re2::RE2 kNumbered(R"(model-(\d{5})-of-(\d{5})\.safetensors)");
  std::map<int, std::filesystem::path> shards;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    int number = 0, of = 0;
    if (!re2::RE2::FullMatch(entry.path().filename().string(), kNumbered, &number, &of)) continue;
    if (count != 0 && of != count)
      throw Error(
          {"shards of two models in one folder", entry.path().string(), "", fmt::format("-of-{:05}", count), ""});
    count = of;
    shards[number] = entry.path();
  }
  if (shards.empty())
    throw Error({"no weights in the folder", folder.string(), "", "model.safetensors or model.safetensors.index.json",
                 "models in PyTorch's .bin format must be saved as safetensors first"});
  for (int number = 1; number <= count; ++number)
    if (!shards.contains(number))
      throw Error({"a shard is missing",
                   (folder / fmt::format("model-{:05}-of-{:05}.safetensors", number, count)).string(), "",
                   fmt::format("{} shards", count), "download the model again"});
  for (const auto& [number, file] : shards) add_file(file);
  std::sort(tensors_.begin(), tensors_.end(), by_name);
  const auto twice = std::ranges::adjacent_find(tensors_, {}, &TensorView::name);
  if (twice != tensors_.end())
    throw Error(
        {"the tensor lies in two shards", folder.string(), shortened(twice->name), "", "download the model again"});
  without_index_ = true;
}

void SafetensorsReader::add_file(const std::filesystem::path& path) {
  MappedFile mapped(path);
  std::span<const std::byte> bytes = mapped.bytes();
  std::string where = path.string();
  if (bytes.size() < 8) throw Error({"too short for a safetensors file", where, std::to_string(bytes.size()), "", ""});
  std::uint64_t header_size;
  std::memcpy(&header_size, bytes.data(), 8);
  if (header_size > kMostHeader || header_size > bytes.size() - 8)
    throw Error({"the header does not fit into the file", where, fmt::format("{} bytes", header_size),
                 fmt::format("at most {}", std::min<std::uint64_t>(kMostHeader, bytes.size() - 8)),
                 "the file is truncated or not a safetensors file; fetch it again"});
  const char* header = reinterpret_cast<const char*>(bytes.data()) + 8;
  if (header_size == 0 || header[0] != '{')
    throw Error({"the header does not begin with '{'", where + "@8", "", "", ""});
  HeaderParser parser(where);
  nlohmann::json::sax_parse(header, header + header_size, &parser);

  std::span<const std::byte> buffer = bytes.subspan(8 + header_size);
  std::sort(parser.entries.begin(), parser.entries.end(),
            [](const HeaderEntry& left, const HeaderEntry& right) { return left.offsets < right.offsets; });
  std::int64_t end = 0;
  for (HeaderEntry& entry : parser.entries) {
    std::optional<DType> type = type_of(entry.type);
    std::string at = where + ": " + shortened(entry.name);
    if (!type)
      throw Error({"element type not supported", at, shortened(entry.type), "F64, F32, F16, BF16, I64 ... U8 or BOOL",
                   "save the model as bfloat16 or float32 first"});
    if (entry.offsets[0] != end || entry.offsets[1] < end)
      throw Error({"tensors leave a hole or overlap", at, fmt::format("{}-{}", entry.offsets[0], entry.offsets[1]),
                   fmt::format("to begin at {}", end), "the file is damaged; fetch it again"});
    std::uint64_t size;
    try {
      size = byte_size(*type, entry.shape);
    } catch (const Error& error) {
      throw Error({error.facts().what, at, error.facts().value, error.facts().expected, ""});
    }
    if (static_cast<std::uint64_t>(entry.offsets[1] - end) != size)
      throw Error({"the tensor's bytes do not match its shape", at, std::to_string(entry.offsets[1] - end),
                   fmt::format("{} bytes", size), ""});
    if (static_cast<std::uint64_t>(entry.offsets[1]) > buffer.size())
      throw Error({"the file is truncated", at, fmt::format("{} bytes of weights", buffer.size()),
                   fmt::format("at least {}", entry.offsets[1]), "download the file again"});
    tensors_.push_back(
        {entry.name, *type, std::move(entry.shape), buffer.subspan(static_cast<std::size_t>(end), size)});
    end = entry.offsets[1];
  }
  if (static_cast<std::uint64_t>(end) != buffer.size())
    throw Error({"bytes after the last tensor", where, fmt::format("{} bytes of weights", buffer.size()),
                 std::to_string(end), "the file is damaged; fetch it again"});
  metadata_.merge(parser.metadata);
  files_.push_back(std::move(mapped));
}

const TensorView* SafetensorsReader::find(std::string_view name) const {
  auto found = std::lower_bound(tensors_.begin(), tensors_.end(), name,
                                [](const TensorView& tensor, std::string_view key) { return tensor.name < key; });
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

const TensorView& SafetensorsReader::at(std::string_view name) const {
  if (const TensorView* tensor = find(name)) return *tensor;
  std::vector<std::string> names;
  for (const TensorView& tensor : tensors_) names.push_back(tensor.name);
  std::string near = nearest(name, names);
  throw Error({"no such tensor", files_.empty() ? "" : files_[0].path().string(), std::string(name), "",
               near.empty() ? "" : "did you mean '" + near + "'?"});
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<Entry> entries,
                                     std::map<std::string, std::string> metadata)
    : TensorWriter(path, std::move(entries), 1) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::uint64_t offset = 0;
  for (const Entry& entry : this->entries()) {
    if (block_elements(entry.type) != 1)
      throw Error({"safetensors cannot hold this type", path.string(), std::string(name_of(entry.type)), "", ""});
    if (header.contains(entry.name)) throw Error({"tensor declared twice", path.string(), entry.name, "", ""});
    std::uint64_t end = offset + byte_size(entry.type, entry.shape);
    header[entry.name] = {{"dtype", name_of(entry.type)}, {"shape", entry.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::uint64_t size = text.size();
  write_header({reinterpret_cast<const char*>(&size), 8});
  write_header(text);
}

}  // namespace base
