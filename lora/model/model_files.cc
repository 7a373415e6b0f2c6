// Opens a model of either format and finds its tensors. Tested by tests/lora/model/model_files_test.cc.
#include "lora/model/model_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "lora/model/earlier_names.h"
#include "lora/model/hub.h"
#include "lora/model/wrapper.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<std::int64_t>;

// Old Llama checkpoints carry the rotary table; it follows from the config.
bool is_ignored(std::string_view name) { return name.ends_with(".rotary_emb.inv_freq"); }

// What config.json says that cannot be, and that nothing here depends on.
std::vector<std::string> notes_of_config(const fs::path& folder, std::int64_t vocabulary) {
  static const std::set<std::string_view> kTypes = {"auto",     "float", "float32", "float16",
                                                    "bfloat16", "half",  "float64", "double"};
  std::vector<std::string> notes;
  const fs::path file = folder / "config.json";
  if (!fs::exists(file)) return notes;
  const auto config = nlohmann::json::parse(base::read_file(file), nullptr, false);
  if (!config.is_object()) return notes;
  for (const char* key : {"bos_token_id", "eos_token_id"}) {
    const auto value = config.value(key, nlohmann::json());
    for (const auto& id : value.is_array() ? value : nlohmann::json::array({value}))
      if (id.is_number_integer() && id.get<std::int64_t>() >= vocabulary)
        notes.push_back(fmt::format("{}: {} {} is no token of the model, which has {}: is the config another model's?",
                                    file.string(), key, id.get<std::int64_t>(), vocabulary));
  }
  for (const char* key : {"torch_dtype", "dtype"}) {
    const auto value = config.value(key, nlohmann::json());
    const std::string text = value.is_string() ? value.get<std::string>() : "auto";
    const std::string_view type = text.starts_with("torch.") ? std::string_view(text).substr(6) : text;
    if (!kTypes.contains(type) && !type.starts_with("float8_"))
      notes.push_back(fmt::format("{}: {} '{}' is no type; those of the weights count", file.string(), key, text));
  }
  return notes;
}

TensorsByName by_name(const std::vector<base::TensorView>& tensors, bool in_wrapper) {
  TensorsByName result;
  for (const base::TensorView& view : tensors)
    if (!result.emplace(in_wrapper ? name_of_today(view.name) : view.name, view).second)
      throw base::Error({"the tensor stands there under two names", "", base::shortened(view.name), "", ""});
  return result;
}

std::string text_of(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

}  // namespace

void permute_rope_rows(std::span<float> matrix, std::int64_t rows, std::int64_t columns, std::int64_t heads,
                       bool to_gguf) {
  if (matrix.size() != static_cast<std::size_t>(rows * columns))
    throw base::Error({"not a matrix of that size", "", fmt::format("{} elements", matrix.size()),
                       fmt::format("{} x {}", rows, columns), ""});
  permute_rope_rows(std::as_writable_bytes(matrix), rows, heads, to_gguf);
}

void permute_rope_rows(std::span<std::byte> blocks, std::int64_t rows, std::int64_t heads, bool to_gguf) {
  const std::int64_t size{heads > 0 ? rows / heads : 0};  // rows of a head
  if (heads < 1 || rows % heads != 0 || size % 2 != 0)
    throw base::Error({"rows are not whole heads", "", fmt::format("{} rows, {} heads", rows, heads), "", ""});
  const std::size_t row{blocks.size() / static_cast<std::size_t>(rows)};
  std::vector<std::byte> head(static_cast<std::size_t>(size) * row);
  for (std::int64_t h = 0; h < heads; ++h) {
    std::byte* begin = blocks.data() + static_cast<std::size_t>(h) * head.size();
    std::copy_n(begin, head.size(), head.begin());
    for (std::int64_t j = 0; j < size / 2; ++j)
      for (std::int64_t p = 0; p < 2; ++p) {
        const std::int64_t interleaved{2 * j + p}, halves{p * (size / 2) + j};
        const auto to = static_cast<std::size_t>(to_gguf ? interleaved : halves),
                   from = static_cast<std::size_t>(to_gguf ? halves : interleaved);
        std::memcpy(begin + to * row, head.data() + from * row, row);
      }
  }
}

std::int64_t regrouped_head(std::int64_t head, std::int64_t key_heads, std::int64_t heads) {
  const std::int64_t size{heads / key_heads}, queries{size - 2};  // of a group
  const std::int64_t group{head / size}, place{head % size};
  if (place < queries) return group * queries + place;
  return key_heads * (place == queries ? queries : queries + 1) + group;
}

void regroup_rows(std::span<float> matrix, std::int64_t rows, std::int64_t key_heads, std::int64_t head_rows) {
  const std::int64_t heads{rows / head_rows};
  const std::vector<float> before(matrix.begin(), matrix.end());
  const std::size_t size{matrix.size() / static_cast<std::size_t>(heads)};
  for (std::int64_t head = 0; head < heads; ++head)
    std::copy_n(before.begin() + head * static_cast<std::int64_t>(size), size,
                matrix.begin() + regrouped_head(head, key_heads, heads) * static_cast<std::int64_t>(size));
}

ModelFiles::ModelFiles(const std::string& model) : path_(need_model(model)) {
  if (fs::is_directory(path_)) {
    fs::path config = path_ / "config.json";
    if (!fs::exists(config)) {
      std::string advice;
      for (const fs::path& file : gguf_files(path_))
        advice += (advice.empty() ? "name one of its models: " : ", ") + file.string();
      if (is_adapter_or_run(path_))
        advice = "a LoRA adapter is in it; give the base model, or merge it first: lora merge " + path_.string();
      if (fs::exists(path_ / "model" / "config.json"))
        advice = "a run that trained every weight: its model is " + (path_ / "model").string();
      throw base::Error({"not a model folder", path_.string(), "", "config.json in it", advice});
    }
    const std::string text = base::read_file(config);
    spec_ = spec_of(config_from_json(text, config.string()));
    safetensors_ = std::make_unique<base::SafetensorsReader>(path_);
    TensorsByName tensors = by_name(with_names_of_today(nlohmann::json::parse(text), safetensors_->tensors()),
                                    !spec_.config.wrapper.empty());
    untie_another_head(tensors);
    find_tensors(std::move(tensors));
  } else {
    if (path_.extension() == ".safetensors")
      throw base::Error({"weights alone are no model", path_.string(), "", "the folder that holds config.json", ""});
    gguf_ = std::make_unique<base::GgufReader>(path_);
    spec_ = spec_of(config_from_gguf(*gguf_));
    find_tensors(by_name(gguf_->tensors(), false));
  }
}

ModelFiles::ModelFiles(const fs::path& folder, ModelSpec spec)
    : path_(folder), spec_(std::move(spec)), safetensors_(std::make_unique<base::SafetensorsReader>(folder)) {
  find_tensors(by_name(safetensors_->tensors(), false));
}

std::vector<std::string> ModelFiles::notes() const {
  std::vector<std::string> notes = is_gguf() ? std::vector<std::string>{} : notes_of_config(path_, config().vocab_size);
  if (safetensors_ && safetensors_->without_index())
    notes.push_back(fmt::format("{}: {} files of weights and no model.safetensors.index.json; all of them were read",
                                path_.string(), safetensors_->files().size()));
  if (passed_over_ > 0)
    notes.push_back(fmt::format("{}: {} tensors rotary_emb.inv_freq were passed over; they follow from config.json",
                                path_.string(), passed_over_));
  std::size_t packed = 0;
  for (const std::string& name : names_) packed += is_packed(name) ? 1 : 0;
  if (packed > 0)
    notes.push_back(
        fmt::format("{}: {} matrices that bitsandbytes quantised are used as it dequantises them; what is "
                    "written of them is plain, without quantization_config",
                    path_.string(), packed));
  if (const Wrapper* wrapper = wrapper_of_type(config().wrapper))
    notes.push_back(
        fmt::format("{}: of this {} the text model ({}) is used; {} other tensors are kept byte for byte in "
                    "a Hugging Face folder and left out of a GGUF",
                    path_.string(), wrapper->class_name, config().model_type, carried_.size()));
  return notes;
}

// The tensor of the model that stands under its name, packed or not, or as a part of a stack. The last part is taken
// last (tensors_of), and the stack with it.
ModelFiles::Stored ModelFiles::take(TensorsByName& tensors, TensorSpec tensor, base::DType packed_type) const {
  const Stack own =
      gguf_ ? Stack{tensor.gguf, tensor.gguf_shape.empty() ? tensor.shape : tensor.gguf_shape, tensor.gguf_part}
            : Stack{tensor.name, tensor.shape, 0};
  const bool is_stacked{!gguf_ && !tensors.contains(own.name) && tensors.contains(tensor.stack.name)};
  const Stack& place = is_stacked ? tensor.stack : own;
  const std::string& name = place.name;
  if (!tensors.contains(name))
    throw base::Error({"the model lacks a tensor", path_.string(), name, text_of(place.shape),
                       "the config does not belong to these weights, or the download is incomplete"});
  std::shared_ptr<const PackedMatrix> packed;
  if (safetensors_ && !is_stacked) packed = unpack_matrix(tensors, name, tensor.shape, packed_type, path_.string());
  const auto found = tensors.find(name);
  base::TensorView view = found->second;
  if (packed) view.shape = tensor.shape, view.type = packed->type();
  if (view.shape != place.shape) {
    const bool is_resized{tensor.shape.front() == config().vocab_size && view.shape.size() == tensor.shape.size() &&
                          view.shape.back() == tensor.shape.back()};
    throw base::Error({"a tensor of another shape than the config says", path_.string() + ": " + name,
                       text_of(view.shape), text_of(place.shape),
                       is_resized
                           ? fmt::format("if the vocabulary was resized, say so in config.json: \"vocab_size\": {}",
                                         view.shape.front())
                           : "the config does not belong to these weights"});
  }
  if (view.type > base::DType::kBF16 && !base::is_block_type(view.type))
    throw base::Error({"weights of an integer type", path_.string() + ": " + name,
                       std::string(base::name_of(view.type)), "floating-point weights", ""});
  const bool is_alone{place.shape == tensor.shape};
  const auto size = is_alone ? view.bytes.size() : static_cast<std::size_t>(base::byte_size(view.type, tensor.shape));
  const std::size_t first{static_cast<std::size_t>(place.part) * size};
  if (is_alone || first + size == view.bytes.size()) tensors.erase(found);
  view.bytes = view.bytes.subspan(first, size);
  view.shape = tensor.shape;
  return {std::move(tensor), std::move(view), std::move(packed)};
}

void ModelFiles::find_tensors(TensorsByName tensors) {
  base::DType packed_type = base::DType::kF32;  // the embedding comes first, and is never packed
  for (TensorSpec& tensor : tensors_of(spec_)) {
    names_.push_back(tensor.name);
    Stored& stored = tensors_[names_.back()] = take(tensors, std::move(tensor), packed_type);
    if (names_.size() == 1) packed_type = stored.view.type;
  }
  for (const auto& [name, view] : std::map(tensors.begin(), tensors.end())) {
    if (is_ignored(name))
      ++passed_over_;
    else if (is_carried(name))
      carried_.push_back(view);
    else
      refuse_tensor(name, view);
  }
}

// transformers 5 unties the head of a wrapper where the file has another one, whatever config.json says.
void ModelFiles::untie_another_head(const TensorsByName& tensors) {
  const auto head = tensors.find(spec_.head + ".weight"), embedding = tensors.find(spec_.embedding + ".weight");
  if (config().wrapper.empty() || !config().tied_embeddings || head == tensors.end() || embedding == tensors.end() ||
      std::ranges::equal(head->second.bytes, embedding->second.bytes))
    return;
  ModelConfig untied = config();
  untied.tied_embeddings = false;
  spec_ = spec_of(untied);
}

void ModelFiles::give_own_head() {
  if (!config().tied_embeddings) return;
  const std::string embedding = spec_.embedding + ".weight", head = spec_.head + ".weight";
  ModelConfig untied = config();
  untied.tied_embeddings = false;
  spec_ = spec_of(untied);
  Stored own = stored(embedding);
  for (TensorSpec& tensor : tensors_of(spec_))
    if (tensor.name == head) own.spec = std::move(tensor);
  own.view.name = own.view.name.starts_with("language_model.model.") ? "language_model." + head : head;
  tensors_[head] = std::move(own);
  names_.clear();
  for (const TensorSpec& tensor : tensors_of(spec_)) names_.push_back(tensor.name);
}

bool ModelFiles::is_carried(const std::string& name) const {
  const Wrapper* wrapper = wrapper_of_type(config().wrapper);
  return wrapper && !is_of_text(name, *wrapper);
}

// One that the model does not have, but for what follows from the config.
void ModelFiles::refuse_tensor(const std::string& name, const base::TensorView& view) const {
  if (gguf_ && (name == "rope_freqs.weight" || name.starts_with("rope_factors_"))) return;
  // Some tools save the head of a tied model too. It must then be the embedding.
  const std::string head = spec_.head + ".weight";
  if (!gguf_ && name == head && config().tied_embeddings) {
    const base::TensorView& embedding = this->view(spec_.embedding + ".weight");
    if (view.type == embedding.type && view.shape == embedding.shape &&
        std::equal(view.bytes.begin(), view.bytes.end(), embedding.bytes.begin()))
      return;
    throw base::Error({"config.json ties the head to the embedding, but the file has another head",
                       path_.string() + ": " + head, "", "",
                       "set \"tie_word_embeddings\" to false in config.json if the head was trained apart"});
  }
  throw base::Error({"a tensor this model does not have", path_.string(), base::shortened(name),
                     "the tensors of a plain " + config().model_type + " model", ""});
}

const TensorSpec* ModelFiles::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second.spec;
}

const ModelFiles::Stored& ModelFiles::stored(const std::string& name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end())
    throw base::Error({"the model has no such tensor", path_.string(), base::shortened(name), "", ""});
  return found->second;
}

const TensorSpec& ModelFiles::tensor(const std::string& name) const { return stored(name).spec; }
const base::TensorView& ModelFiles::view(const std::string& name) const { return stored(name).view; }

std::string_view ModelFiles::type_name(const std::string& name) const {
  const Stored& tensor = stored(name);
  return tensor.packed ? tensor.packed->name() : base::name_of(tensor.view.type);
}

const std::string& ModelFiles::name_on_disk(const std::string& name) const {
  const Stored& tensor = stored(name);
  return config().wrapper.empty() ? tensor.spec.name : tensor.view.name;
}

StoredBlocks ModelFiles::blocks(const std::string& name) const {
  const auto& [spec, view, packed, grown] = stored(name);
  if (packed)
    throw base::Error({"a packed tensor has no blocks of its own", path_.string(), name, "", "read it as numbers"});
  std::vector<std::int64_t> shape = view.shape;
  shape[0] -= new_rows(name);
  if (!gguf_) return {view.type, shape, view.bytes};
  return {view.type, shape, view.bytes, spec.interleaved_heads, spec.key_heads, spec.head_rows};
}

void ModelFiles::read_blocks(const std::string& name, std::span<std::byte> out) const {
  const StoredBlocks stored = blocks(name);
  if (out.size() != stored.bytes.size())
    throw base::Error({"not the size of the tensor", path_.string() + ": " + name, fmt::format("{} bytes", out.size()),
                       fmt::format("{}", stored.bytes.size()), ""});
  std::ranges::copy(stored.bytes, out.begin());
  if (stored.interleaved_heads > 0) permute_rope_rows(out, stored.shape[0], stored.interleaved_heads, false);
  if (stored.key_heads == 0) return;
  const std::int64_t heads{stored.shape[0] / stored.head_rows};
  const std::size_t head{out.size() / static_cast<std::size_t>(heads)};
  for (std::int64_t i = 0; i < heads; ++i) {
    const auto from = static_cast<std::size_t>(regrouped_head(i, stored.key_heads, heads));
    std::copy_n(stored.bytes.begin() + static_cast<std::ptrdiff_t>(from * head), head,
                out.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(i) * head));
  }
}

std::vector<std::int64_t> ModelFiles::shape(const std::string& name) const { return view(name).shape; }
base::DType ModelFiles::type(const std::string& name) const { return view(name).type; }

void ModelFiles::read(const std::string& name, std::span<float> out) const {
  const auto& [spec, view, packed, grown] = stored(name);
  if (packed) return packed->read(0, out);
  std::ranges::copy(grown, out.last(grown.size()).begin());
  out = out.first(out.size() - grown.size());
  if (gguf_ && spec.key_heads != 0) return read_rows(name, 0, view.shape[0], out);
  base::to_float(view.type, view.bytes, out);
  if (gguf_ && spec.gguf_added != 0)
    for (float& value : out) value -= spec.gguf_added;
  if (gguf_ && spec.interleaved_heads > 0)
    permute_rope_rows(out, view.shape[0], view.elements() / view.shape[0], spec.interleaved_heads, false);
}

void ModelFiles::read_rows(const std::string& name, std::int64_t first, std::int64_t count,
                           std::span<float> out) const {
  const auto& [spec, view, packed, grown] = stored(name);
  if (view.shape.size() != 2 || first < 0 || count < 0 || first > view.shape[0] - count)
    throw base::Error({"rows outside the tensor", path_.string() + ": " + name, fmt::format("{}+{}", first, count),
                       text_of(view.shape), ""});
  if (packed) return packed->read(first * view.shape[1], out);
  if (const std::int64_t own = view.shape[0] - new_rows(name); first + count > own) {  // some of the new ones
    const std::int64_t width{view.shape[1]}, begin{std::max(first, own)};
    std::copy_n(grown.begin() + (begin - own) * width, (first + count - begin) * width,
                out.begin() + (begin - first) * width);
    count = begin - first;
    if (count <= 0) return;
    out = out.first(static_cast<std::size_t>(count * width));
  }
  const auto row_bytes{static_cast<std::size_t>(base::byte_size(view.type, std::span(view.shape).last(1)))};
  const auto copy = [&, &view = view](std::int64_t from, std::int64_t rows, std::span<float> to) {
    base::to_float(
        view.type,
        view.bytes.subspan(static_cast<std::size_t>(from) * row_bytes, static_cast<std::size_t>(rows) * row_bytes), to);
  };
  if (!gguf_ || (spec.interleaved_heads == 0 && spec.key_heads == 0)) return copy(first, count, out);
  // Rows of one head.
  const std::int64_t head{spec.key_heads != 0 ? spec.head_rows : view.shape[0] / spec.interleaved_heads};
  if (first % head != 0 || count % head != 0)
    throw base::Error({"rows are not whole heads", path_.string() + ": " + name, fmt::format("{}+{}", first, count),
                       fmt::format("multiples of {}", head), ""});
  if (spec.key_heads == 0) {
    copy(first, count, out);
    return permute_rope_rows(out, count, view.shape[1], count / head, false);
  }
  const auto size = static_cast<std::size_t>(head * view.shape[1]);
  for (std::int64_t i = 0; i < count / head; ++i)
    copy(regrouped_head(first / head + i, spec.key_heads, view.shape[0] / head) * head, head,
         out.subspan(static_cast<std::size_t>(i) * size, size));
}

}  // namespace lora
