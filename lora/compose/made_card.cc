// The page that lies in a folder of a made model. Tested by tests/lora/compose/made_card_test.cc.
#include "lora/compose/made_card.h"

#include <fmt/format.h>

#include <set>

#include "lora/model/gguf_metadata.h"
#include "lora/model/licence.h"

namespace lora {

std::string made_card(const std::string& title, const std::string& how, const std::vector<const ModelFiles*>& sources) {
  std::set<std::string> licences;
  std::string list;
  for (const ModelFiles* source : sources) {
    const std::string licence = licence_of(*source);
    licences.insert(licence);
    list += fmt::format("- `{}`: {}\n", model_name(source->path()),
                        licence.empty() ? "its files name no licence" : "licence `" + licence + "`");
  }
  const bool is_one{licences.size() == 1 && !licences.begin()->empty()};
  std::string card = "---\n";
  if (is_one) card += fmt::format("license: {}\n", *licences.begin());
  card += fmt::format("library_name: transformers\npipeline_tag: text-generation\ntags:\n- merge\n---\n\n# {}\n\n{}\n",
                      title, how);
  card += fmt::format("\n## Made of\n\n{}\nWhat holds for {} holds for this model.\n", list,
                      sources.size() == 1 ? "it" : "each of these");
  return card +
         "\n## Use\n\n```python\nfrom transformers import pipeline\n\nprint(pipeline(\"text-generation\", \"THIS "
         "FOLDER\")(\"The\"))\n```\n\nMade with Hornbook " HORNBOOK_VERSION ".\n";
}

}  // namespace lora
