// `lora info`: what an adapter, a run or a model is. Tested by tests/cli/lora/info.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/outputs.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/mlx_adapter.h"
#include "lora/commands.h"
#include "lora/fuse/compare.h"
#include "lora/locate.h"
#include "lora/model/cost.h"
#include "lora/model/gguf_metadata.h"
#include "lora/model/hub.h"
#include "lora/model/model_files.h"
#include "lora/model/module_names.h"

namespace lora {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// ||scale B A||^2 (Frobenius) from the two small products: trace(A' B' B A) = sum of (B' B) * (A A').
double squared_norm(const AdapterModule& module) {
  Eigen::Map<const Matrix> a(module.a.data(), module.rank, module.in);
  Eigen::Map<const Matrix> b(module.b.data(), module.out, module.rank);
  Eigen::MatrixXd small_a = a.cast<double>(), small_b = b.cast<double>();
  double squared = (small_b.transpose() * small_b).cwiseProduct(small_a * small_a.transpose()).sum();
  return module.scale * module.scale * std::max(0.0, squared);
}

// {"q_proj": {"frobenius": 1.2, "spectral": 0.8}} by layer, kind or module; the largest singular value of a row.
ordered_json norm_facts(const Adapter& adapter, const std::string& by) {
  ordered_json rows = ordered_json::object();
  for (const ModuleNorm& module : norms_of(adapter, base::thread_count(0))) {
    const std::string name = group_of(module.name, by);
    const ordered_json before = rows.value(name, ordered_json::object());
    const double norm{before.value("frobenius", 0.0)}, spectral{before.value("spectral", 0.0)};
    rows[name] = {{"frobenius", std::hypot(norm, module.frobenius)}, {"spectral", std::max(spectral, module.spectral)}};
  }
  return rows;
}

// Every fact, in the order in which a person reads it. A number that is not finite becomes null in JSON.
ordered_json adapter_facts(const fs::path& folder, const std::string& by) {
  Adapter adapter = read_adapter(folder);
  std::int64_t parameters = 0;
  double total = 0;
  std::map<std::string, double> by_target;
  std::map<std::int64_t, int> ranks;
  std::map<double, int> scales;
  for (const AdapterModule& module : adapter.modules) {
    parameters += module.rank * (module.in + module.out) + static_cast<std::int64_t>(module.magnitude.size());
    double squared = squared_norm(module);
    total += squared;
    by_target[suffix_of(module.name)] += squared;
    ++ranks[module.rank];
    ++scales[module.scale];
  }
  for (const SavedTensor& tensor : adapter.saved)
    parameters += tensor.is_trained ? static_cast<std::int64_t>(tensor.values.size()) : 0;
  for (const TokenRows& rows : adapter.tokens) parameters += static_cast<std::int64_t>(rows.values.size());
  ordered_json facts = {{"kind", "adapter"}, {"path", folder.string()}, {"base_model", adapter.base_model}};
  facts["rank"] = adapter.rank;
  facts["alpha"] = adapter.alpha;
  facts["rslora"] = adapter.rslora;
  facts["dropout"] = adapter.dropout;
  if (const std::string rounded = rounded_base_of(folder); !rounded.empty()) facts["base_rounded_to"] = rounded;
  if (const std::vector<std::string> beyond = beyond_lora(adapter); !beyond.empty()) facts["beside_a_and_b"] = beyond;
  if (scales.size() == 1) {
    facts["scale"] = scales.begin()->first;
  } else if (!scales.empty()) {
    facts["scale"] = {scales.begin()->first, scales.rbegin()->first};
  }
  if (ranks.size() > 1) facts["ranks"] = {ranks.begin()->first, ranks.rbegin()->first};
  facts["targets"] = adapter.targets;
  facts["modules"] = adapter.modules.size();
  facts["parameters"] = parameters;
  facts["bytes"] =
      fs::file_size(folder / (is_mlx_adapter(folder) ? "adapters.safetensors" : "adapter_model.safetensors"));
  // Of B A alone; what a PiSSA, OLoRA or DoRA adapter changes only the base tells.
  if (adapter.start != Start::kNothing) facts["start"] = name_of(adapter.start);
  const bool is_alone{adapter.start == Start::kNothing && !adapter.dora};
  facts["delta_norm"] = is_alone ? ordered_json(std::sqrt(total)) : ordered_json();
  if (!is_alone && by != "none")
    throw base::UsageError({"what this adapter changes is known only with its base", "norms", folder.string(),
                            "LoRA without magnitudes and without a start from the base",
                            "merge it (lora merge), and look at lora extract BASE MERGED"});
  if (!is_alone) return facts;
  ordered_json norms = ordered_json::object();
  for (const std::string& target : adapter.targets) norms[target] = std::sqrt(by_target[target]);
  facts["delta_norm_by_target"] = norms;
  if (by != "none") facts["norms"] = norm_facts(adapter, by);
  return facts;
}

ordered_json gguf_adapter_facts(const base::GgufReader& file) {
  std::int64_t parameters = 0;
  for (const base::TensorView& tensor : file.tensors()) parameters += tensor.elements();
  return {{"kind", "gguf adapter"},
          {"path", file.path().string()},
          {"base_model", file.find("general.base_model.0.name") ? file.text("general.base_model.0.name") : ""},
          {"architecture", file.text("general.architecture")},
          {"alpha", file.number("adapter.lora.alpha")},
          {"modules", file.tensors().size() / 2},
          {"parameters", parameters},
          {"bytes", fs::file_size(file.path())}};
}

// What the config says of a model.
void add_sizes(ordered_json& facts, const ModelSpec& spec) {
  const ModelConfig& config = spec.config;
  auto has_bias = [&](bool attention) {
    const std::vector<LinearSpec>& linears = spec.blocks.at(0).linears;
    return std::any_of(linears.begin(), linears.end(), [&](const LinearSpec& linear) {
      return linear.bias && belongs_to_attention(linear.role) == attention;
    });
  };
  const RopeSpec scaling = as_llama3(config.rope, config.turned_dim());
  ordered_json rope = {{"type", scaling.type}, {"theta", scaling.theta}};
  if (scaling.type != "default" && scaling.type != "factors") rope["factor"] = scaling.factor;
  facts.update({{"layers", config.layers},
                {"hidden_size", config.hidden_size},
                {"intermediate_size", config.intermediate_size},
                {"heads", config.heads},
                {"kv_heads", config.kv_heads},
                {"head_dim", config.head_dim},
                {"vocab_size", config.vocab_size},
                {"context_length", config.context_length},
                {"rope", rope},
                {"tied_embeddings", config.tied_embeddings},
                {"attention_bias", has_bias(true)},
                {"mlp_bias", has_bias(false)}});
  if (config.sliding_window != 0) facts["sliding_window"] = config.sliding_window;
  if (config.experts == 0) return;
  facts["experts"] = config.experts;
  facts["experts_of_a_token"] = config.chosen_experts;
  facts["expert_size"] = config.expert_size;
  if (config.shared_expert_size != 0) facts["shared_expert_size"] = config.shared_expert_size;
  if (!config.dense_layers.empty()) facts["dense_layers"] = config.dense_layers;
}

// How its weights can be kept in fewer bits, and what that takes. `files`: null where only the config is known.
std::vector<std::pair<std::string, WeightMemory>> quantised_weights(const ModelSpec& spec, const ModelFiles* files,
                                                                    std::int64_t element) {
  std::vector<std::pair<std::string, WeightMemory>> all;
  const auto any = [&](auto is) { return files && std::ranges::any_of(files->names(), is); };
  const bool is_packed = any([&](const std::string& name) { return files->is_packed(name); });
  if (!is_packed)
    for (const char* word : {"nf4", "int8"}) all.emplace_back(word, weight_memory(spec, word, element));
  const auto is_quantised = [&](const std::string& name) {
    return files->is_packed(name) || base::is_block_type(files->type(name));
  };
  if (any(is_quantised)) all.emplace_back("keep", weight_memory(*files, "keep", element, false));
  return all;
}

// What a LoRA on it takes, and the forms in which this program writes it. `files` may be null: then a number of the
// weights has `stored` bytes in them.
void add_uses(ordered_json& facts, const ModelSpec& spec, const ModelFiles* files, std::int64_t stored,
              std::int64_t rank) {
  constexpr std::array<std::int64_t, 3> kTokens = {512, 2048, 8192};
  const auto fits = [&](std::int64_t tokens) { return tokens == 512 || tokens <= spec.config.context_length; };
  facts["lora_rank"] = rank;
  facts["lora_parameters"] = lora_parameters(spec, rank);
  ordered_json memory = ordered_json::array();
  for (const auto& [dtype, element] : {std::pair<const char*, std::int64_t>{"float32", 4}, {"bfloat16", 2}}) {
    const WeightMemory weights =
        files ? weight_memory(*files, "none", element, true) : weight_memory(spec, "none", std::min(element, stored));
    for (const std::int64_t tokens : kTokens)
      if (fits(tokens))
        memory.push_back({{"dtype", dtype},
                          {"tokens", tokens},
                          {"bytes", training_memory(spec, rank, tokens, element, weights).total()}});
  }
  facts["training_memory"] = memory;
  ordered_json quantised = ordered_json::array();
  for (const auto& [word, weights] : quantised_weights(spec, files, 2))
    for (const std::int64_t tokens : kTokens)
      if (fits(tokens))
        quantised.push_back({{"quantization", word},
                             {"dtype", "bfloat16"},
                             {"tokens", tokens},
                             {"bytes", training_memory(spec, rank, tokens, 2, weights).total()}});
  facts["quantized_memory"] = quantised;
  ordered_json exports = {"hugging face folder", "peft adapter"};
  try {
    config_to_gguf(spec.config);
    exports.insert(exports.end(), {"gguf", "gguf adapter"});
    if (const std::string note = gguf_note(spec.config); !note.empty())
      facts["gguf_note"] = base::trim(std::string_view(note).substr(std::string_view("note: ").size()));
  } catch (const base::Error& error) {
    facts["gguf_note"] =
        std::string(std::string_view(error.what()).substr(0, std::string_view(error.what()).find('\n')));
  }
  facts["exports"] = exports;
}

ordered_json model_facts(const std::string& path, std::int64_t rank) {
  ModelFiles files(path);
  std::uint64_t bytes = 0;
  std::map<std::string, int> types;
  for (const std::string& name : files.names()) {
    const base::TensorView& view = files.view(name);
    bytes += view.bytes.size();
    ++types[std::string(files.type_name(name))];
  }
  ordered_json facts = {{"kind", files.is_gguf() ? "gguf model" : "hugging face model"},
                        {"path", files.path().string()},
                        {"architecture", files.config().model_type},
                        {"parameters", parameters_of(files.spec())},
                        {"bytes", bytes},
                        {"tensors", types}};
  add_sizes(facts, files.spec());
  add_uses(facts, files.spec(), &files, 0, rank);
  if (!files.notes().empty()) facts["notes"] = files.notes();
  return facts;
}

// Of a number of the weights that a config.json belongs to: a CPU computes in float32 from 16 bits as they lie.
std::int64_t bytes_of_dtype(const ordered_json& config) {
  for (const char* key : {"dtype", "torch_dtype"})
    if (const auto found = config.find(key); found != config.end() && found->is_string())
      return *found == "bfloat16" || *found == "float16" ? 2 : 4;
  return 4;
}

// Of a config.json alone, without weights.
ordered_json config_facts(const std::string& path, std::int64_t rank) {
  const std::string text = base::read_file(path);
  const ModelSpec spec = spec_of(config_from_json(text, path));
  ordered_json facts = {{"kind", "config"},
                        {"path", path},
                        {"architecture", spec.config.model_type},
                        {"parameters", parameters_of(spec)}};
  add_sizes(facts, spec);
  add_uses(facts, spec, nullptr, bytes_of_dtype(ordered_json::parse(text)), rank);
  return facts;
}

ordered_json facts_of(const std::string& path, std::int64_t rank, const std::string& by) {
  if (path.ends_with(".json") && fs::is_regular_file(path)) return config_facts(path, rank);
  if (is_adapter_or_run(path)) return adapter_facts(adapter_folder(path), by);
  if (base::is_gguf_name(path)) {
    base::GgufReader file(path);
    if (file.find("general.type") && file.text("general.type") == "adapter") return gguf_adapter_facts(file);
  }
  return model_facts(path, rank);
}

// "float32 1.6 GB (512 tokens), ...", or "nf4 in bfloat16 ..."
std::string readable_memory(const ordered_json& memory) {
  std::string text, form;
  for (const ordered_json& line : memory) {
    text += text.empty() ? "" : ", ";
    std::string own = line["dtype"];
    if (line.contains("quantization")) own = line["quantization"].get<std::string>() + " in " + own;
    if (own != form) text += (form = own) + " ";
    text += fmt::format("{} ({} tokens)", base::human_bytes(line["bytes"].get<double>()), line["tokens"].get<int>());
  }
  return text;
}

// "12,345", "0.0123", "q_proj, v_proj", "F32 61, Q4_1 210".
std::string readable(const std::string& key, const ordered_json& value) {
  if (key == "bytes") return base::human_bytes(value.get<double>());
  if (key == "parameters" || key == "lora_parameters") return base::human_count(value.get<std::uint64_t>());
  if (key == "training_memory" || key == "quantized_memory") return readable_memory(value);
  if (value.is_string()) return value.get<std::string>().empty() ? "-" : value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  if (value.is_null()) return "known with its base alone";  // the norm of what DoRA or a start changes
  if (!value.is_structured()) return value.dump();
  std::string text;
  for (const auto& [name, part] : value.items())
    text += (text.empty() ? "" : ", ") + (value.is_object() ? name + " " : "") + readable("", part);
  return text;
}

void print_norms(std::ostream& out, const ordered_json& rows, const std::string& by) {
  std::size_t width = 21;
  for (const auto& [name, row] : rows.items()) width = std::max(width, name.size());
  fmt::print(out, "{:<{}} {:>12} {:>12}\n", "change by " + by, width, "Frobenius", "spectral");
  for (const auto& [name, row] : rows.items())
    fmt::print(out, "{:<{}} {:>12.6g} {:>12.6g}\n", name, width, row["frobenius"].get<double>(),
               row["spectral"].get<double>());
}

}  // namespace

int run_info(InfoOptions& options, base::Context& context) {
  if (options.input.empty())
    throw base::UsageError({"missing input", "", "", "adapters, runs or models: lora info RUN", ""});
  for (const std::string& path : options.input) {
    ordered_json facts = facts_of(path, options.rank, options.norms);
    if (context.json) {
      context.out << base::json_dump(facts) << "\n";
      continue;
    }
    for (auto& [key, value] : facts.items()) {
      if (key == "norms") {
        print_norms(context.out, value, options.norms);
        continue;
      }
      std::string label = key;
      for (char& c : label) c = c == '_' ? ' ' : c;
      fmt::print(context.out, "{:<22}{}\n", label, readable(key, value));
    }
    if (&path != &options.input.back()) context.out << "\n";
  }
  return 0;
}

}  // namespace lora
