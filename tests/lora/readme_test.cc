// README's tables of models and of exports, cell by cell: what each cell says is shown by goldens and tests that are
// named here, and are there. A row or a cell that changes must be shown anew.
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/text.h"

namespace {

namespace fs = std::filesystem;
using Evidence = std::vector<const char*>;

const fs::path kSource = HORNBOOK_SOURCE_DIR;

struct Cell {
  const char* text;
  // "config NAME": published, of tests/golden/lora/configs.json, by names, shapes and number of parameters;
  // "case NAME": tests/golden/finetune/tiny_llama, computed, trained and merged as transformers and PEFT do;
  // "detail MODEL DETAIL": taken out it shows, of tests/finetune/families_test.cc; "llama.cpp NAME": of
  // scripts/oracle/check_lora_exports.py; "test FILE NAME": any other, of that file in tests/; "live NAME PART": a test
  // of ctest with real peers, whose script holds that part; "cli NAME": a case of tests/cli/lora; "hand FILE": a script
  // that is run by hand.
  Evidence evidence;
};
using Row = std::array<Cell, 3>;

const std::vector<Row> kRows = {
    {{{"Llama 1-3.3, CodeLlama, SmolLM2, TinyLlama, Vicuna",
       {"config llama-1-65b", "config llama-2-70b", "config llama-3.1-405b", "config llama-3.2-1b", "case tied",
        "case untied", "case bias", "test finetune/smollm2_test.cc LogitsAndLossesOfTransformers"}},
      {"rope default, linear, dynamic, llama3, YaRN, longrope",
       {"case linear_rope", "case dynamic_rope", "case llama3_rope", "case yarn_rope", "case longrope",
        "detail dynamic_rope scaling", "detail yarn_rope attention_factor", "detail longrope long_factors",
        "test finetune/parity_test.cc EpsilonThetaAndScaling"}},
      {"all but dynamic rope",
       {"llama.cpp untied, biases, llama3 rope", "llama.cpp tied, no biases, plain rope", "llama.cpp YaRN",
        "llama.cpp longrope", "llama.cpp longrope, long factors",
        "test lora/model/config_test.cc WhatAGgufCannotSayIsRefused"}}}},
    {{{"Mistral, Nemo", {"config mistral-7b-v0.1", "config mistral-nemo-12b", "case mistral"}},
      {"sliding window, heads of a size of their own",
       {"detail mistral no_window", "detail mistral window_of_one_more", "config mistral-nemo-12b"}},
      {"llama.cpp computes no window; said",
       {"llama.cpp Mistral with a window that is not reached",
        "test lora/adapter/merge_test.cc WindowsThatLlamaCppDoesNotComputeAreSaid"}}}},
    {{{"Qwen2, Qwen2.5, Qwen3 (dense)",
       {"config qwen2.5-7b", "config qwen3-0.6b", "config qwen3-32b", "case qwen2", "case qwen3"}},
      {"biases, norms of q and k, windows by layer",
       {"case qwen2_window", "detail qwen2_window window_in_all_layers", "detail qwen3 scale_of_the_head",
        "test finetune/families_test.cc HeadBiasQueryNormAndBiasesShow"}},
      {"llama.cpp computes no window; said",
       {"llama.cpp Qwen2, tied, plain rope", "llama.cpp Qwen3",
        "test lora/adapter/merge_test.cc WindowsThatLlamaCppDoesNotComputeAreSaid"}}}},
    {{{"Gemma 1, 2, 3 (text)",
       {"config gemma-7b", "config gemma-2-27b", "config gemma-3-1b", "config gemma-3-27b-text", "case gemma",
        "case gemma2", "case gemma3"}},
      {"four norms, caps, local and global layers with a rope each",
       {"detail gemma norm_plus_one", "detail gemma2 norm_behind_plus_one", "detail gemma2 attention_cap",
        "detail gemma2 logit_cap", "detail gemma2 windows", "detail gemma3 two_ropes", "detail gemma3 windows"}},
      {"yes", {"llama.cpp Gemma", "llama.cpp Gemma 2", "llama.cpp Gemma 3"}}}},
    {{{"Phi-1, Phi-1.5, Phi-2", {"config phi-1", "config phi-1.5", "config phi-2", "case phi"}},
      {"parallel block, biases, partial rotation, names of before transformers",
       {"detail phi parallel", "detail phi partial_rotation", "detail phi kind_of_gelu",
        "test finetune/families_test.cc HeadBiasQueryNormAndBiasesShow", "test lora/model/earlier_names_test.cc IsPhi",
        "test finetune/weights_in_test.cc ComputesWhatPhiDoes"}},
      {"yes", {"llama.cpp Phi"}}}},
    {{{"Phi-3, Phi-4", {"config phi-3-mini-4k", "config phi-4", "config phi-4-mini", "case phi3"}},
      {"fused matrices (LoRA on them), longrope",
       {"case phi3", "detail phi3 long_factors", "detail phi3 attention_factor", "detail phi3 window"}},
      {"llama.cpp computes no window; said",
       {"llama.cpp Phi-3", "llama.cpp Phi-3, long factors",
        "test lora/adapter/merge_test.cc WindowsThatLlamaCppDoesNotComputeAreSaid"}}}},
    {{{"SmolLM3", {"config smollm3-3b", "case smollm3"}},
      {"layers without positions", {"detail smollm3 layer_without_positions"}},
      {"each fourth layer, as published",
       {"llama.cpp SmolLM3", "test lora/model/config_test.cc WhatAGgufCannotSayIsRefused"}}}},
    {{{"Falcon 7B, 40B, 180B, 11B, rw",
       {"config falcon-7b", "config falcon-40b-refinedweb", "config falcon-180b", "config falcon-11b",
        "config falcon-rw-1b", "case falcon_7b", "case falcon_40b", "case falcon_11b", "case falcon_rw"}},
      {"all forms of its fused matrix, ALiBi, names of before transformers",
       {"detail falcon_40b group_order", "detail falcon_40b norm_of_each", "detail falcon_11b group_order",
        "detail falcon_rw group_order", "detail falcon_rw alibi", "detail falcon_rw slopes_of_six_heads",
        "detail falcon_7b parallel", "config falcon-7b-refinedweb"}},
      {"all but ALiBi, biases and serial blocks",
       {"llama.cpp Falcon 7B", "llama.cpp Falcon 40B", "llama.cpp Falcon 11B",
        "test lora/adapter/merge_test.cc EveryFamilyGoesThroughGguf"}}}},
    {{{"Mixtral", {"config mixtral-8x7b", "config mixtral-8x22b", "case mixtral"}},
      {"routed experts, loss of the routers; stacked experts of transformers 5 and PEFT's `target_parameters`",
       {"detail mixtral sum_of_weights", "detail mixtral number_chosen", "detail mixtral window",
        "case mixtral_router_loss", "test finetune/experts_test.cc AreTheSwitchLossOverAllLayers",
        "test lora/adapter/experts_test.cc StackedFoldersAreTheSameModel",
        "test finetune/experts_test.cc AreComputedAndMerged"}},
      {"yes; adapters of experts too",
       {"llama.cpp Mixtral", "test lora/adapter/experts_test.cc GoThroughAGgufAndBack",
        "test lora/adapter/experts_test.cc GgufAdaptersAreStacks"}}}},
    {{{"Qwen1.5-MoE, Qwen2-MoE, Qwen3-MoE",
       {"config qwen1.5-moe-a2.7b", "config qwen2-57b-a14b", "config qwen3-30b-a3b", "config qwen3-235b-a22b-2507",
        "config qwen3-coder-480b-a35b", "case qwen2_moe", "case qwen3_moe", "case qwen3_moe_step"}},
      {"the same; an expert for all tokens with its gate, layers without experts",
       {"detail qwen2_moe sum_of_weights", "detail qwen3_moe sum_of_weights", "detail qwen3_moe_step sum_of_weights",
        "test finetune/families_test.cc HeadBiasQueryNormAndBiasesShow"}},
      {"all but layers without experts, and weights of experts as llama.cpp has them",
       {"llama.cpp Qwen2-MoE", "llama.cpp Qwen3-MoE", "test lora/adapter/merge_test.cc EveryFamilyGoesThroughGguf"}}}},
    {{{"Gemma 3, LLaVA, Mistral 3, SmolVLM, Idefics3, InternVL and others around a text model of these",
       {"config gemma-3-4b-with-pictures", "config llava-1.5-7b", "config mistral-small-3.1-24b", "case gemma3_vision",
        "case llava", "case mistral3", "case smolvlm", "test lora/model/wrapper_test.cc TakesTheTextModelsDefaults"}},
      {"the text model is trained, all else of it carried byte for byte",
       {"test lora/model/wrapper_test.cc AMergeCarriesAllElseByteForByte",
        "test lora/model/wrapper_test.cc OfEarlierNamesAreRead",
        "test lora/model/wrapper_test.cc WhatIsNotKnownIsRefusedByName"}},
      {"the text model", {"llama.cpp Gemma 3 with pictures", "llama.cpp LLaVA", "llama.cpp Mistral with pictures"}}}},
};

const std::vector<Row> kExports = {
    {{{"PEFT adapter, also `--bake-scale`",
       {"test lora/adapter/adapter_test.cc WritesWhatItReads",
        "test lora/adapter/merge_test.cc BakedScalesGiveTheSameDeltas"}},
      {"PEFT", {"live LoraExports PEFT on our adapter"}},
      {"logits to 1e-5 (`scripts/oracle/check_lora_exports.py`, in CI); `tests/lora/adapter/adapter_test.cc`",
       {"live LoraExports BOUND_LOGITS, BOUND_LOG_PROBABILITY, CLEAR_GAP = 1e-5, 1e-3",
        "test lora/adapter/adapter_test.cc MeansWhatPeftMeans"}}}},
    {{{"merged folder, in one file or several",
       {"test lora/adapter/merge_test.cc WritesAHuggingFaceFolder", "cli merge_sharded"}},
      {"transformers 5 and 4",
       {"live LoraExports transformers on the merged folder",
        "live LoraExports transformers on a merged folder in parts",
        "test lora/model/config_test.cc WrittenForTransformers4And5", "hand transformers_4.py"}},
      {"logits to 1e-5 (the same; transformers 4.57 by hand, `transformers_4.py`); `tensor_stream_test.cc`",
       {"live LoraExports BOUND_LOGITS", "hand transformers_4.py",
        "test lora/adapter/tensor_stream_test.cc LargerFoldersAreShardedWithAnIndex"}}}},
    {{{"merged DoRA", {"live LoraExports use_dora=True"}},
      {"transformers, llama.cpp",
       {"live LoraExports DoRA, transformers on the merged folder", "live LoraExports DoRA, llama.cpp, merged GGUF"}},
      {"logits to 1e-5, log-probabilities to 1e-3 (the same)", {"live LoraExports check_dora"}}}},
    {{{"GGUF adapter", {"cli export", "test lora/adapter/merge_test.cc AGgufAdapterGivesTheSameDeltas"}},
      {"llama.cpp", {"live LoraExports llama.cpp, GGUF adapter on base GGUF"}},
      {"log-probabilities to 1e-3 (the same); read back in `read_gguf_adapter_test.cc`",
       {"live LoraExports BOUND_LOG_PROBABILITY", "live LoraExportsSeeAPermutation spoil_permutation",
        "test lora/adapter/read_gguf_adapter_test.cc WhatWasWrittenComesBack"}}}},
    {{{"merged GGUF, float32", {"cli merge_gguf_file"}},
      {"llama.cpp", {"live LoraExports llama.cpp, merged GGUF", "live SmolLm2Exports llama.cpp, merged GGUF"}},
      {"log-probabilities to 1e-3 (the same)", {"live LoraExports BOUND_LOG_PROBABILITY"}}}},
    {{{"merged GGUF, float16, bfloat16, blocks", {"cli merge_quantised"}},
      {"llama.cpp", {"live LoraExports check_blocks", "live SmolLm2Exports check_types"}},
      {"KL from transformers with its numbers and inputs rounded as ggml's at most half of what that rounding changes "
       "(two layers), three times (SmolLM2's thirty; the same); bytes of llama.cpp's own quantiser: blocks in "
       "`tests/base/quantize_test.cc`, mixtures in `weight_type_test.cc`",
       {"live LoraExports BOUND_OF_THE_NUMBERS = {\"few layers\": 0.5",
        "test base/quantize_test.cc BlocksAreThoseOfGgmlBitForBit",
        "test lora/model/weight_type_test.cc MixturesAreThoseOfLlamaCppsQuantiser"}}}},
    {{{"MLX adapter, DoRA too; merged folder",
       {"cli adapter_formats", "test lora/adapter/mlx_adapter_test.cc IsReadBack"}},
      {"mlx-lm", {"live Mlx merged folder: logits", "live Mlx PEFT on mlx-lm's own"}},
      {"logits to 1e-5 (`scripts/oracle/check_mlx.py`, in CI); its layers' algebra in `mlx_adapter_test.cc`",
       {"live Mlx BOUND = 1e-5", "live Mlx \"DoRA\": dict", "test lora/adapter/mlx_adapter_test.cc DoraToo",
        "test lora/model/mlx_limits_test.cc WhatItComputesOtherwise"}}}},
    {{{"vLLM-safe adapter; merged folder",
       {"cli export_for", "test lora/adapter/merge_test.cc BakedScalesGiveTheSameDeltas"}},
      {"vLLM", {"hand check_vllm.py"}},
      {"log-probabilities to 1e-3 (`scripts/oracle/check_vllm.py`, by hand); `bake_scale` in `merge_test.cc`",
       {"hand check_vllm.py", "test lora/adapter/merge_test.cc BakedScalesGiveTheSameDeltas"}}}},
    {{{"Modelfile", {"cli modelfile"}},
      {"Ollama", {"hand ollama_templates.py"}},
      {"Go's text/template against transformers (`scripts/oracle/ollama_templates.py`); `modelfile_test.cc`",
       {"hand ollama_templates.py", "test lora/adapter/modelfile_test.cc EveryTemplateOfOursIsSaid"}}}},
    {{{"stacked, upcycled, merged models", {"cli stack", "cli upcycle", "cli merge_models"}},
      {"transformers, llama.cpp", {"live MadeModels check_upcycled", "live MadeModels check_in_llama_cpp"}},
      {"logits to 1e-5, log-probabilities to 1e-3 (`scripts/oracle/check_stack.py`, in CI); `merge_models_test.cc` "
       "against "
       "mergekit",
       {"live MadeModels <= 1e-5", "live MadeModelsSeeALayer broken",
        "test lora/compose/merge_models_test.cc GivesWhatMergekitGives"}}}},
    {{{"any of `--for`", {"cli export_for"}},
      {"each of these", {"cli export_for"}},
      {"read back, every weight compared (`same_weights_test.cc`, `tests/cli/lora/export_for`)",
       {"test lora/adapter/same_weights_test.cc MergedModelsOfEveryTypeAreWithinTheirBound",
        "test lora/adapter/same_weights_test.cc ASmallChangeIsSeenThroughBlocksOfFewBits", "cli export_for"}}}},
    {{{"any of these", {"test finetune/commands_test.cc VerifyReadsEveryExport"}},
      {"`finetune verify`", {"test finetune/commands_test.cc VerifyReadsEveryExport"}},
      {"logits, KL, best tokens, greedy text and weights within the bound of the type (`commands_test.cc`, "
       "`comparison_test.cc`)",
       {"test finetune/comparison_test.cc EachBoundCounts",
        "test finetune/comparison_test.cc DivergenceAndBestTokensByHand",
        "test finetune/comparison_test.cc TextsMayPartWhereTwoTokensAreNearlyAsGood"}}}},
};

std::string text_of(const std::string& file) { return base::read_file(kSource / file); }

// README's rows of the table with this head, cell by cell.
std::vector<std::vector<std::string>> rows_of_readme(const std::string& head) {
  std::vector<std::vector<std::string>> found;
  bool inside = false;
  for (const std::string& line : base::split(text_of("README.md"), '\n')) {
    const bool is_row{line.starts_with("| ")};
    if (inside && !is_row && !line.starts_with("|--")) break;
    if (inside && is_row) {
      std::vector<std::string> cells;
      for (const std::string& cell : base::split(line, '|')) cells.emplace_back(base::trim(cell));
      found.emplace_back(cells.begin() + 1, cells.end() - 1);
    }
    inside |= line.starts_with(head);
  }
  return found;
}

bool is_there(const std::string& evidence) {
  static const nlohmann::json configs = nlohmann::json::parse(text_of("tests/golden/lora/configs.json"));
  static const nlohmann::json shapes = nlohmann::json::parse(text_of("tests/golden/lora/shapes.json"));
  const std::size_t blank = evidence.find(' ');
  const std::string kind = evidence.substr(0, blank), name = evidence.substr(blank + 1);
  const std::size_t second = name.find(' ');
  const std::string first = name.substr(0, second), rest = second == std::string::npos ? "" : name.substr(second + 1);
  const auto holds = [](const std::string& file, const std::string& part) {
    return fs::exists(kSource / file) && text_of(file).find(part) != std::string::npos;
  };
  if (kind == "config") return configs.contains(name) && shapes.at("models").contains(name);
  if (kind == "case") return fs::exists(kSource / "tests/golden/finetune/tiny_llama" / name / "golden.safetensors");
  if (kind == "detail") return holds("tests/finetune/families_test.cc", "{\"" + first + "\", \"" + rest + "\"");
  if (kind == "llama.cpp") return holds("scripts/oracle/check_lora_exports.py", "\"" + name + "\"");
  // The script of a live test, by the variable that holds its command.
  const std::string script = first.starts_with("MadeModels") ? "check_stack.py"
                             : first.starts_with("Mlx")      ? "check_mlx.py"
                                                             : "check_lora_exports.py";
  if (kind == "live")
    return holds("tests/CMakeLists.txt", "hornbook_live_test(" + first + " ") &&
           holds("scripts/oracle/" + script, rest);
  if (kind == "cli") return fs::exists(kSource / "tests/cli/lora" / name / "cmd");
  if (kind == "hand") return fs::exists(kSource / "scripts/oracle" / name);
  return kind == "test" && holds("tests/" + first, ", " + rest + ")");
}

void check_table(const std::string& head, const std::vector<Row>& rows) {
  std::map<std::string, const Row*> shown;
  for (const Row& row : rows) shown[row[0].text] = &row;
  const auto readme = rows_of_readme(head);
  ASSERT_GE(readme.size(), 9u);
  for (const std::vector<std::string>& cells : readme) {
    ASSERT_EQ(cells.size(), 3u) << cells.at(0);
    const auto row = shown.find(cells[0]);
    ASSERT_NE(row, shown.end()) << "README.md: name in this file what shows: " << cells[0];
    for (std::size_t i = 0; i < 3; ++i) {
      const Cell& cell = (*row->second)[i];
      EXPECT_EQ(cell.text, cells[i]) << "README.md says something else of " << cells[0];
      EXPECT_FALSE(cell.evidence.empty()) << cells[i];
      for (const char* evidence : cell.evidence) EXPECT_TRUE(is_there(evidence)) << cells[i] << ": " << evidence;
    }
    shown.erase(row);
  }
  for (const auto& [first, row] : shown) ADD_FAILURE() << "README.md does not say any more: " << first;
}

TEST(ReadmeModels, EveryCellIsShown) { check_table("| family |", kRows); }

TEST(ReadmeExports, EveryCellIsShown) { check_table("| format |", kExports); }

TEST(ReadmeModels, WhatIsNotThereIsSeen) {
  for (const char* wrong : {"config llama-9", "case no_such", "detail gemma no_detail", "llama.cpp Gemma 9",
                            "test lora/readme_test.cc NoSuchTest", "test lora/none.cc EveryCellIsShown", "other x",
                            "live NoSuchTest check_dora", "live LoraExports no such part", "cli none", "hand none.py"})
    EXPECT_FALSE(is_there(wrong)) << wrong;
  EXPECT_TRUE(is_there("test lora/readme_test.cc EveryCellIsShown"));
}

}  // namespace
