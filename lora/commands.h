// The commands of the program `lora`.
#pragma once

#include <string>
#include <vector>

#include "base/options.h"
#include "base/program.h"

namespace lora {

struct InfoOptions {
  std::vector<std::string> input;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "adapters, runs, Hugging Face folders or .gguf files");
  }
};
int run_info(InfoOptions& options, base::Context& context);

struct MergeOptions {
  std::vector<std::string> input, format = {"hf"};
  std::string base, output, dtype = "auto";
  bool overwrite = false;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a run of finetune train, or an adapter's folder", base::PathKind::kModel);
    v("base", base, "base model: a Hugging Face folder or a .gguf file; else the run's or the adapter's own",
      base::PathKind::kModel);
    v("output", output, "folder for the result; else merged/ in the run or beside the adapter",
      base::PathKind::kOutput);
    v("format", format, "hf (a Hugging Face folder) or gguf; may be given twice for both");
    v.choice("dtype", dtype, {"auto", "float32", "bfloat16", "float16", "q8_0"},
             "q8_0: gguf only; auto: as the base, float16 if it is quantised");
    v("overwrite", overwrite, "replace an earlier result");
    v("threads", threads, "threads; 0: all there are").at_least(0);
  }
};
int run_merge(MergeOptions& options, base::Context& context);

struct ExportOptions {
  std::vector<std::string> input;
  std::string format = "gguf", base, output, dtype = "float32";
  bool bake_scale = false, overwrite = false;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a run of finetune train, or an adapter's folder", base::PathKind::kModel);
    v.choice("format", format, {"gguf", "peft"}, "gguf (llama.cpp, Ollama) or peft (vLLM, SGLang, PEFT)");
    v("base", base, "base model, whose heads a gguf adapter must know; else the run's or the adapter's own",
      base::PathKind::kModel);
    v("output", output, "the .gguf file or the folder; else beside the adapter", base::PathKind::kOutput);
    v.choice("dtype", dtype, {"float32", "float16"}, "float16: gguf only");
    v("bake_scale", bake_scale,
      "peft only: one rank and plain alpha / r for every module, for runtimes that drop rsLoRA and patterns");
    v("overwrite", overwrite, "replace an earlier result");
  }
};
int run_export(ExportOptions& options, base::Context& context);

struct ConvertOptions {
  std::vector<std::string> input;
  std::string output, dtype = "auto";
  bool overwrite = false;
  int threads = 0;
  void visit(base::OptionVisitor& v) {
    v.positional("input", input, "a Hugging Face folder or a .gguf file", base::PathKind::kModel);
    v.required("output", output, "a name that ends in .gguf, or a folder for the Hugging Face form",
               base::PathKind::kOutput);
    v.choice("dtype", dtype, {"auto", "float32", "bfloat16", "float16", "q8_0"},
             "q8_0: gguf only; auto: as it is, float16 if it is quantised");
    v("overwrite", overwrite, "replace an earlier result");
    v("threads", threads, "threads; 0: all there are").at_least(0);
  }
};
int run_convert(ConvertOptions& options, base::Context& context);

}  // namespace lora
