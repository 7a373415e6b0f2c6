// The page that lies beside an adapter (README.md): which base it belongs to and how it is loaded. Tested by
// tests/lora/locate_test.cc.
#include "lora/adapter/model_card.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/file.h"
#include "base/text.h"
#include "lora/model/gguf_metadata.h"
#include "lora/model/hub.h"

namespace lora {

void check_base_name(const std::string& name) {
  if (!is_hub_name(name))
    throw base::UsageError(
        {"not a name on the hub", "base_name", name, "ORG/MODEL, such as meta-llama/Llama-3.2-1B", ""});
}

void write_model_card(const Adapter& adapter, const std::filesystem::path& folder, const std::string& origin) {
  const bool portable = is_hub_name(adapter.base_model);
  std::string base = portable ? adapter.base_model : "BASE";
  std::string card = "---\n";
  if (portable) card += fmt::format("base_model: {}\n", adapter.base_model);
  card += "library_name: peft\npipeline_tag: text-generation\ntags:\n- lora\n---\n\n# LoRA adapter\n\n";
  if (portable) {
    card += fmt::format("A LoRA adapter for [{0}](https://huggingface.co/{0}).\n", adapter.base_model);
  } else if (adapter.base_model.empty()) {
    card += "The base model is not named. `lora export --base-name ORG/MODEL` names it.\n";
  } else {
    card +=
        fmt::format("Its base model was a local one, `{}`. `lora export --base-name ORG/MODEL` names it for others.\n",
                    model_name(adapter.base_model));
  }
  if (!adapter.revision.empty()) card += fmt::format("Revision of the base: `{}`.\n", adapter.revision);
  if (!origin.empty()) card += "\n" + origin + "\n";
  card += fmt::format("\nRank {}, alpha {}{}, modules {}.\n\n", adapter.rank, adapter.alpha,
                      adapter.rslora ? " (rsLoRA)" : "", base::join(adapter.targets, ", "));
  card += fmt::format(
      "```python\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
      "base = AutoModelForCausalLM.from_pretrained(\"{0}\")\nmodel = PeftModel.from_pretrained(base, \"THIS FOLDER\")\n"
      "```\n\nMade with Hornbook " HORNBOOK_VERSION ".\n",
      base);
  base::write_file(folder / "README.md", card);
}

}  // namespace lora
