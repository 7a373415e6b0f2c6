// The program `lora`. Tested by tests/cli/lora/help.
#include "base/program.h"
#include "lora/commands.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "lora";
  program.summary = "LoRA adapters and models: inspect, merge, export, convert, fuse, compare, extract, stack";
  program.commands.push_back(base::make_command<lora::InfoOptions>(
      "info", "what an adapter or a model is: sizes, scale, targets, norm of its change",
      "lora info out/run model.gguf", lora::run_info));
  program.commands.push_back(base::make_command<lora::MergeOptions>(
      "merge", "add an adapter into its base model: a Hugging Face folder, a GGUF, or both",
      "lora merge out/run --format hf --format gguf --dtype float16", lora::run_merge));
  program.commands.push_back(base::make_command<lora::ExportOptions>(
      "export", "an adapter for another runtime: GGUF for llama.cpp, PEFT for vLLM",
      "lora export out/run --format gguf", lora::run_export));
  program.commands.push_back(base::make_command<lora::ConvertOptions>(
      "convert", "a model between a Hugging Face folder and GGUF",
      "lora convert models/tiny --output tiny-f32.gguf --dtype float32", lora::run_convert));
  program.commands.push_back(base::make_command<lora::StackOptions>(
      "stack", "a deeper model out of a model's own layers (depth up-scaling)",
      "lora stack models/tiny --layers 0-23 8-31 --output models/deep", lora::run_stack));
  program.commands.push_back(base::make_command<lora::UpcycleOptions>(
      "upcycle", "a Mixtral out of a LLaMA or Mistral, each expert its MLP",
      "lora upcycle models/tiny --experts 8 --chosen 2 --output models/wide", lora::run_upcycle));
  program.commands.push_back(base::make_command<lora::MergeModelsOptions>(
      "merge-models", "one model out of several of one shape: linear, SLERP, TIES, DARE, task arithmetic",
      "lora merge-models models/a models/b --method slerp --t 0.3 --output models/both", lora::run_merge_models));
  program.commands.push_back(base::make_command<lora::FuseOptions>(
      "fuse", "several adapters as one, by what they change",
      "lora fuse out/a out/b --weights 0.7 0.3 --output out/both", lora::run_fuse));
  program.commands.push_back(
      base::make_command<lora::SubtractOptions>("subtract", "an adapter without what another one changes",
                                                "lora subtract out/a out/b --output out/rest", lora::run_subtract));
  program.commands.push_back(
      base::make_command<lora::ScaleOptions>("scale", "an adapter whose change is larger, smaller or the opposite",
                                             "lora scale out/run --by 0.5 --output out/half", lora::run_scale));
  program.commands.push_back(base::make_command<lora::ResizeOptions>(
      "resize", "an adapter at a lower rank, as near as that allows",
      "lora resize out/run --keep-energy 0.95 --output out/small", lora::run_resize));
  program.commands.push_back(base::make_command<lora::ExtractOptions>(
      "extract", "an adapter out of a base and a model that was tuned from it",
      "lora extract models/base models/tuned --rank 32 --output out/adapter", lora::run_extract));
  program.commands.push_back(base::make_command<lora::CompareOptions>(
      "compare", "how alike what two adapters change is", "lora compare out/a out/b", lora::run_compare));
  return base::run_program(program, argc, argv);
}
