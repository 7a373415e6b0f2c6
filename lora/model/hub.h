// Where a model lies that is named as users name it. Tested by tests/lora/model/model_files_test.cc.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lora {

/// The folder or file that a model's name means on this machine: the path itself, the one GGUF in a folder of no other
/// model, or the snapshot of a hub name
/// ("org/name") in the local Hugging Face cache (HF_HUB_CACHE, HF_HOME, ~/.cache/huggingface/hub). "" when neither is
/// there.
std::filesystem::path find_model(const std::string& model);
/// The same; throws base::Error naming the download command when it is not there.
std::filesystem::path need_model(const std::string& model);
/// The models in a folder that are GGUFs, in the order of their names: of one in parts the first, no projectors of
/// pictures.
std::vector<std::filesystem::path> gguf_files(const std::filesystem::path& folder);
/// True for a LoRA adapter's folder and for that of a training run, finished or not: both are no model.
bool is_adapter_or_run(const std::filesystem::path& path);
/// True for "org/name", whether or not it exists.
bool is_hub_name(const std::string& model);
/// The hub name without the ending that says how it was quantised: "org/llama-3-8b" of "org/llama-3-8b-bnb-4bit". The
/// name itself when it has none.
std::string unquantised_name(const std::string& model);

}  // namespace lora
