// checkpoints/step-N/: all that a run needs to go on as if it had never stopped. Tested by
// tests/finetune/train_test.cc.
#include "finetune/train/checkpoint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/safetensors.h"
#include "finetune/data/content_hash.h"
#include "lora/adapter/chat_format.h"
#include "lora/adapter/companions.h"
#include "lora/adapter/fresh.h"
#include "lora/adapter/write_model.h"
#include "tokenizer/spec/tokenizer.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// A rename survives a power cut only when the folder itself has reached the disk.
void flush_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0 || ::fsync(descriptor) != 0) {
    const std::string reason = std::strerror(errno);
    if (descriptor >= 0) ::close(descriptor);
    throw base::Error("cannot flush the folder to disk: " + reason, folder.string());
  }
  ::close(descriptor);
}

// The N of "step-N", or nothing for other names.
std::optional<std::int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with("step-")) return std::nullopt;
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return step;
}

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), static_cast<std::size_t>(tensor.nbytes())};
}

at::Tensor tensor_of(const base::TensorView& view) {
  if (view.type != base::DType::kF32 && view.type != base::DType::kU8)
    throw base::Error("a tensor of the checkpoint is neither float32 nor uint8", view.name);
  at::Tensor tensor = at::empty(view.shape, view.type == base::DType::kU8 ? at::kByte : at::kFloat);
  std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

// Of what decides the next step: a changed bit would go on as another run, in silence.
std::string checksum_of(const fs::path& folder, const Checkpoint& checkpoint) {
  ContentHash hash;
  hash.add(fmt::format("{} {}", checkpoint.step, checkpoint.rows));
  for (const auto& [key, value] : checkpoint.facts) {
    hash.add(key);
    hash.add(value);
  }
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") files.insert(entry.path());
  for (const fs::path& file : files) {
    hash.add(file.filename().string());
    hash.add(hash_of(file));
  }
  return hash.text();
}

std::string delete_advice(const fs::path& folder) {
  return fmt::format("delete the folder {}: --resume then goes on from the one before it", folder.string());
}

void write_state(const OptimizerState& state, const fs::path& path) {
  std::vector<base::SafetensorsWriter::Entry> entries;
  for (const auto& [name, tensor] : state)
    entries.push_back(
        {name, tensor.scalar_type() == at::kByte ? base::DType::kU8 : base::DType::kF32, tensor.sizes().vec()});
  base::SafetensorsWriter writer(path, entries);
  for (const auto& [name, tensor] : state) writer.write(name, bytes_of(tensor.cpu().contiguous()));
  writer.commit();
}

}  // namespace

std::vector<std::int64_t> saved_steps(const fs::path& checkpoints) {
  std::vector<std::int64_t> steps;
  if (fs::is_directory(checkpoints)) {
    for (const auto& entry : fs::directory_iterator(checkpoints)) {
      if (auto step = step_of(entry.path())) steps.push_back(*step);
    }
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

void write_checkpoint(const fs::path& checkpoints, const Checkpoint& checkpoint, std::int64_t keep,
                      std::optional<std::int64_t> best) {
  const fs::path folder = checkpoints / fmt::format("step-{}", checkpoint.step);
  const fs::path part = checkpoints / fmt::format(".step-{}.part", checkpoint.step);
  fs::remove_all(part);
  fs::create_directories(part);
  if (checkpoint.base != nullptr) {
    const lora::MergedModel model(*checkpoint.base, &checkpoint.adapter);
    lora::write_hf_folder(model, part, {base::DType::kF32, 0, {}});
  } else {
    lora::write_adapter(checkpoint.adapter, part);
    if (checkpoint.vocabulary && !checkpoint.vocabulary->new_tokens().empty())
      lora::write_tokenizer(*checkpoint.vocabulary, part, lora::tokenizer_files());
  }
  if (!checkpoint.chat_template.empty())
    base::write_file(part / tokenizer::kChatTemplateFile, checkpoint.chat_template);

  write_state(checkpoint.optimizer, part / "optimizer.safetensors");
  const nlohmann::ordered_json state = {{"step", checkpoint.step},
                                        {"rows", checkpoint.rows},
                                        {"facts", checkpoint.facts},
                                        {"checksum", checksum_of(part, checkpoint)}};
  base::write_file(part / "state.json", base::json_dump(state, 2) + "\n");

  flush_folder(part);
  fs::remove_all(folder);  // left by a run that is being repeated
  fs::rename(part, folder);
  flush_folder(checkpoints);
  remove_old_checkpoints(checkpoints, keep, best);
}

void remove_old_checkpoints(const fs::path& checkpoints, std::int64_t keep, std::optional<std::int64_t> best) {
  if (!fs::is_directory(checkpoints)) return;
  const std::vector<std::int64_t> steps = saved_steps(checkpoints);
  for (std::size_t i = 0; i + static_cast<std::size_t>(std::max<std::int64_t>(1, keep)) < steps.size(); ++i) {
    if (steps[i] == best) continue;
    // Renamed first: a kill in the middle of the removal must not leave half a checkpoint under a good name.
    const fs::path old = checkpoints / fmt::format("step-{}", steps[i]);
    const fs::path doomed = checkpoints / fmt::format(".step-{}.part", steps[i]);
    fs::remove_all(doomed);
    fs::rename(old, doomed);
    fs::remove_all(doomed);
  }
  for (const auto& entry : fs::directory_iterator(checkpoints)) {  // left by kills
    if (entry.path().filename().string().starts_with(".step-")) fs::remove_all(entry.path());
  }
}

Checkpoint read_checkpoint(const fs::path& checkpoints, std::int64_t step) {
  const fs::path folder = checkpoints / fmt::format("step-{}", step);
  try {
    Checkpoint checkpoint;
    const auto state = nlohmann::json::parse(base::read_file(folder / "state.json"));
    if (state.at("step") != step || !state.at("rows").is_number_unsigned())
      throw base::Error({"numbers that no run writes", (folder / "state.json").string(),
                         fmt::format("step {}, rows {}", state.at("step").dump(), state.at("rows").dump()),
                         fmt::format("step {}, and how many rows it took", step), ""});
    checkpoint.step = step;
    state.at("rows").get_to(checkpoint.rows);
    state.at("facts").get_to(checkpoint.facts);
    // Earlier programs wrote none.
    if (state.contains("checksum") && state.at("checksum") != checksum_of(folder, checkpoint))
      throw base::Error({"its files are not those that the run wrote", folder.string(), "", "", ""});
    checkpoint.adapter = fs::exists(folder / "adapter_config.json")
                             ? lora::read_adapter(folder)
                             : lora::whole_model(lora::ModelFiles(folder.string()));
    if (const fs::path chat = folder / tokenizer::kChatTemplateFile; fs::exists(chat))
      checkpoint.chat_template = base::read_file(chat);
    const base::SafetensorsReader optimizer(folder / "optimizer.safetensors");
    for (const base::TensorView& tensor : optimizer.tensors())
      checkpoint.optimizer.emplace_back(tensor.name, tensor_of(tensor));
    return checkpoint;
  } catch (const base::Error& error) {  // whose advice is for files that can be fetched again
    const base::ErrorFacts& facts = error.facts();
    throw base::Error({"the checkpoint cannot be read: " + facts.what,
                       facts.where.empty() ? folder.string() : facts.where, facts.value, facts.expected,
                       delete_advice(folder)});
  } catch (const nlohmann::json::exception&) {
    throw base::Error({"the checkpoint cannot be read", (folder / "state.json").string(), "", "what a run writes there",
                       delete_advice(folder)});
  } catch (const std::exception& error) {
    throw base::Error({fmt::format("the checkpoint cannot be read: {}", error.what()), folder.string(), "", "",
                       delete_advice(folder)});
  }
}

std::optional<Checkpoint> read_newest_checkpoint(const fs::path& checkpoints) {
  const std::vector<std::int64_t> steps = saved_steps(checkpoints);
  if (steps.empty()) return std::nullopt;
  return read_checkpoint(checkpoints, steps.back());
}

at::Tensor flat_values(const lora::Adapter& adapter) {
  std::vector<at::Tensor> parts;
  const auto add = [&](const std::vector<float>& values, std::int64_t rows, std::int64_t columns,
                       std::int64_t first_rows, std::int64_t first_columns) {
    at::Tensor part = at::empty({rows, columns}, at::kFloat);
    std::memcpy(part.mutable_data_ptr(), values.data(), values.size() * sizeof(float));
    parts.push_back(part.narrow(0, 0, first_rows).narrow(1, 0, first_columns).reshape({-1}));
  };
  const auto add_all = [&](const std::vector<float>& values) {
    const auto size = static_cast<std::int64_t>(values.size());
    add(values, 1, size, 1, size);
  };
  for (const lora::AdapterModule& module : adapter.modules) {
    const std::int64_t trained{module.rank - module.frozen};
    add(module.a, module.rank, module.in, trained, module.in);
    add(module.b, module.out, module.rank, module.out, trained);
    if (!module.magnitude.empty()) add_all(module.magnitude);
  }
  for (const lora::SavedTensor& tensor : adapter.saved)
    if (tensor.is_trained) add_all(tensor.values);
  for (const lora::TokenRows& rows : adapter.tokens) add_all(rows.values);
  return at::cat(parts);
}

}  // namespace finetune
