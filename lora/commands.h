// The commands of the program `lora`.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"
#include "lora/adapter/start.h"
#include "lora/adapter/write_model.h"
#include "lora/fuse/by_group.h"
#include "lora/made_adapter.h"
#include "lora/made_output.h"
#include "tokenizer/chat/template_source.h"

namespace lora {

/// plain_adapter with a progress line.
Adapter made_plain(Adapter adapter, const ModelFiles& base, int threads, base::Context& context);

/// "auto" and the names of all types that are written.
std::vector<std::string> dtype_choices();
std::vector<std::string> export_dtype_choices();  ///< without "auto"

struct InfoOptions {
  std::vector<std::string> input;
  int rank = 16;
  std::string norms = "none";
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "adapters, runs, Hugging Face folders, .gguf files or a config.json");
    v("rank", rank, "of the LoRA on all linear layers whose cost is told of a model").at_least(1);
    std::vector<std::string> choices = grouping_choices();
    choices.insert(choices.begin(), "none");
    v.choice("norms", norms, choices, "of an adapter also the size of its change, by layer, kind or module");
  }
};
int run_info(InfoOptions& options, base::Context& context);

struct MergeOptions {
  std::vector<std::string> input, format;
  std::string base, output, dtype = "auto";
  tokenizer::TemplateOptions chat;
  base::ByteSize max_shard_size{kMaxShard};
  bool overwrite = false;
  int threads = 0;
  bool next = true;  // the summary says what to type next; no option
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a run of finetune train, or an adapter's folder", base::PathKind::kModel);
    v("base", base, "base model: a Hugging Face folder or a .gguf file; else the one that the adapter names",
      base::PathKind::kModel);
    v("output", output, "folder or .gguf file for the result; else merged/ in the run or beside the adapter",
      base::PathKind::kOutputModel);
    v("format", format, "hf (a Hugging Face folder) or gguf, or both; else by the name of --output: hf or .gguf")
        .commas();
    v.choice("dtype", dtype, dtype_choices(),
             "q...: gguf only; auto: as the base, float16 if it is quantised, float32 if it is float64");
    chat.visit(v);
    v("max_shard_size", max_shard_size, "of a file of weights in a folder; a larger model is cut into several");
    v("overwrite", overwrite, "replace an earlier result; a folder is emptied before anything new is there");
    v("threads", threads, "threads; 0: all there are").at_least(0);
  }
};
int run_merge(MergeOptions& options, base::Context& context);

struct ExportOptions {
  std::vector<std::string> input;
  std::string runtime = "any", format = "gguf", base, base_name, output, dtype = "float32";
  bool bake_scale = false, overwrite = false;
  bool next = true;  // the summary says what to type next; no option
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a run of finetune train, or an adapter's folder", base::PathKind::kModel);
    v.choice("for", runtime, {"any", "transformers", "llama.cpp", "ollama", "vllm", "mlx", "lm-studio"},
             "chooses format, type and scales for this runtime, verifies, and says what to type there");
    v.choice("format", format, {"gguf", "peft", "mlx"},
             "gguf (llama.cpp, Ollama), peft (vLLM, SGLang, PEFT) or mlx (mlx-lm)");
    v("base", base, "base model, whose heads a gguf adapter must know; else the one that the adapter names",
      base::PathKind::kModel);
    v("base_name", base_name, "name of the base on the hub, ORG/MODEL, which the exported adapter says of its base");
    v("output", output, "the .gguf file or the folder; else beside the adapter", base::PathKind::kOutputModel);
    v.choice("dtype", dtype, export_dtype_choices(),
             "float16: gguf only; others: of the model that --for merges, else q8_0 in a GGUF");
    v("bake_scale", bake_scale,
      "peft only: one rank and plain alpha / r for every module, for runtimes that drop rsLoRA and patterns");
    v("overwrite", overwrite, "replace an earlier result; a folder is emptied before anything new is there");
  }
};
int run_export(ExportOptions& options, base::Context& context);

struct ConvertOptions {
  std::vector<std::string> input;
  std::string output, dtype = "auto";
  base::ByteSize max_shard_size{kMaxShard};
  bool overwrite = false;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a Hugging Face folder or a .gguf file", base::PathKind::kModel);
    v.required("output", output, "a name that ends in .gguf, or a folder for the Hugging Face form",
               base::PathKind::kOutputModel);
    v.choice("dtype", dtype, dtype_choices(),
             "q...: gguf only; auto: as it is, float16 if it is quantised, float32 if it is float64");
    v("max_shard_size", max_shard_size, "of a file of weights in a folder; a larger model is cut into several");
    v("overwrite", overwrite, "replace an earlier result; a folder is emptied before anything new is there");
    v("threads", threads, "threads; 0: all there are").at_least(0);
  }
};
int run_convert(ConvertOptions& options, base::Context& context);

struct StackOptions {
  std::vector<std::string> input, layers;
  MadeOptions made;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a Hugging Face folder or a .gguf file", base::PathKind::kModel);
    v("layers", layers, "ranges of the base's layers, each FIRST-LAST from 0, both among them: 0-23 8-31").commas();
    made.visit(v, "the folder of the deeper model");
  }
};
int run_stack(StackOptions& options, base::Context& context);

struct UpcycleOptions {
  std::vector<std::string> input;
  std::int64_t experts = 8, chosen = 2;
  double noise = 0;
  std::string router = "zero";
  std::uint64_t seed = 42;
  MadeOptions made;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a LLaMA or Mistral: a Hugging Face folder or a .gguf file", base::PathKind::kModel);
    v("experts", experts, "experts of each layer, each the base's MLP").at_least(1);
    v("chosen", chosen, "of them, those that a token goes through").at_least(1);
    v("noise", noise, "what is added to each expert, as a share of its matrix's deviation; 0: all are equal")
        .at_least(0);
    v.choice("router", router, {"zero", "random"}, "random: deviation 0.02");
    v("seed", seed, "of noise and routers");
    made.visit(v, "the folder of the Mixtral");
  }
};
int run_upcycle(UpcycleOptions& options, base::Context& context);

/// In the order of MergeMethod.
const std::vector<std::string>& merge_method_names();

struct MergeModelsOptions {
  std::vector<std::string> models, t, weights, density;
  std::string method = "linear", base, rescale = "norm", normalize = "auto", tokenizer;
  double lambda = 1;
  std::uint64_t seed = 42;
  MadeOptions made;
  void visit(base::OptionVisitor& v) {
    v.positional("models", models, "models of one family and shape: Hugging Face folders or .gguf files",
                 base::PathKind::kModel);
    v.choice("method", method, merge_method_names(),
             "linear: the mean by weights; slerp: two models, along the arc; the others add what each has more than "
             "the base: all of it, or what ties or chance (dare) keep");
    v("base", base, "what the models were made from; for ties, dare, dare-ties, task-arithmetic",
      base::PathKind::kModel);
    v("weights", weights, "one for each model, 0.7 0.3, or one for all; 0:0.5:1 goes from first to last layer; else 1")
        .commas();
    v("t", t,
      "slerp: 0 is the first model, 1 the second; 0:0.5:1 by layers, self_attn=0:1 for names that hold it; else "
      "0.5");
    v("density", density, "share that is kept, above 0: of ties the largest (else 1), of dare by chance; as --weights")
        .commas();
    v.choice("rescale", rescale, {"norm", "density", "none"},
             "dare: what makes up for the dropped: the sum of sizes stays, or divided by the density");
    v("seed", seed, "of dare's chance");
    v("lambda", lambda, "of all that is added to the base");
    v.choice("normalize", normalize, {"auto", "yes", "no"},
             "divides by the sum of the weights; auto: for linear and ties");
    v("tokenizer", tokenizer,
      "the model, of these, whose tokenizer, config and types are kept, if tokenizers differ "
      "too; else the base or the first",
      base::PathKind::kModel);
    made.visit(v, "the folder of the merged model");
  }
};
int run_merge_models(MergeModelsOptions& options, base::Context& context);

struct FuseOptions {
  std::vector<std::string> input;
  std::vector<double> weights;
  std::string method = "linear", sign = "total";
  int rank = 0;
  double density = 1;
  std::uint64_t seed = 42;
  MadeAdapterOptions made;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "two or more runs of finetune train, or adapters' folders, of one base",
                 base::PathKind::kModel);
    v("weights", weights, "one for each adapter, in order: --weights 0.7 0.3; none: 1 for each");
    v.choice("method", method, {"linear", "concatenate", "svd", "ties", "dare", "dare-ties", "magnitude-prune"},
             "linear, svd: the weighted sum of the changes; concatenate: the same, matrices side by side; others: what "
             "they say, number by number over whole changes");
    v("rank", rank, "of the result; 0: linear: what holds the sum; others: the largest of the adapters").at_least(0);
    v("density", density, "of ties, dare, dare-ties and magnitude-prune: the share of numbers that is kept")
        .above(0)
        .at_most(1);
    v.choice("sign", sign, {"total", "frequency"},
             "of ties and dare-ties: the sign of the sum, or the one that most have");
    v("seed", seed, "of what dare and dare-ties drop");
    made.visit(v);
  }
};
int run_fuse(FuseOptions& options, base::Context& context);

struct SubtractOptions {
  std::vector<std::string> input;
  int rank = 0;
  MadeAdapterOptions made;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "two runs or adapters' folders: of the first the second is taken away",
                 base::PathKind::kModel);
    v("rank", rank, "of the result; 0: what holds the difference").at_least(0);
    made.visit(v);
  }
};
int run_subtract(SubtractOptions& options, base::Context& context);

struct ScaleOptions {
  std::vector<std::string> input;
  double by = 1;
  MadeAdapterOptions made;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a run of finetune train, or an adapter's folder", base::PathKind::kModel);
    v.required("by", by, "what its change is multiplied by; may be negative");
    made.visit(v);
  }
};
int run_scale(ScaleOptions& options, base::Context& context);

struct ResizeOptions {
  std::vector<std::string> input;
  int rank = 0;
  double keep_energy = 0;
  MadeAdapterOptions made;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a run of finetune train, or an adapter's folder", base::PathKind::kModel);
    v("rank", rank, "of the result, of every module that has more").at_least(0);
    v("keep_energy", keep_energy,
      "instead of a rank: of every module the least one that keeps this share of its change's squared norm")
        .between(0, 1);
    made.visit(v);
  }
};
int run_resize(ResizeOptions& options, base::Context& context);

struct ExtractOptions {
  std::vector<std::string> input;
  std::string base_name, output;
  int rank = 16, threads = 0;
  bool save_rest = false, overwrite = false;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "the base and the tuned model: Hugging Face folders or .gguf files",
                 base::PathKind::kModel);
    v("rank", rank, "of every module").at_least(1);
    v("save_rest", save_rest, "keep what else differs (norms, embedding, head) as whole tensors (modules_to_save)");
    v("base_name", base_name, "name of the base on the hub, ORG/MODEL, which the adapter says of its base");
    v.required("output", output, "the adapter's folder", base::PathKind::kOutputFolder);
    v("overwrite", overwrite, "replace an earlier result; a folder is emptied before anything new is there");
    v("threads", threads, "threads; 0: all there are").at_least(0);
  }
};
int run_extract(ExtractOptions& options, base::Context& context);

struct CompareOptions {
  std::vector<std::string> input;
  std::string base, by = "kind";
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "two runs of finetune train, or adapters' folders", base::PathKind::kModel);
    v("base", base, "base model of both, where an adapter is known only with it (PiSSA, OLoRA, GGUF adapters)",
      base::PathKind::kModel);
    v.choice("by", by, grouping_choices(), "what a row of the table is");
    v("threads", threads, "threads; 0: all there are").at_least(0);
  }
};
int run_compare(CompareOptions& options, base::Context& context);

}  // namespace lora
