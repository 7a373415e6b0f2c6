// Whether models can be merged weight by weight. Tested by tests/lora/compose/alike_test.cc.
#include "lora/compose/alike.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/text.h"
#include "tokenizer/spec/tokenizer.h"

namespace lora {
namespace {

using nlohmann::ordered_json;

// What may differ between a base and what was made of it, without a weight that means something else.
bool may_differ(const std::string& key) {
  static const std::set<std::string> kFree = {"max_position_embeddings",
                                              "bos_token_id",
                                              "eos_token_id",
                                              "pad_token_id",
                                              "torch_dtype",
                                              "dtype",
                                              "architectures",
                                              "router_aux_loss_coef",
                                              "output_router_logits",
                                              "tie_word_embeddings"};
  return kFree.contains(key);
}

std::unique_ptr<tokenizer::Tokenizer> tokenizer_of(const ModelFiles& model, std::vector<std::string>& notes) {
  try {
    return tokenizer::load(model.path());
  } catch (const base::Error&) {
    const std::string note = fmt::format(
        "{} has no tokenizer that can be read: its vocabulary is taken for that of the others", model.path().string());
    if (std::ranges::find(notes, note) == notes.end()) notes.push_back(note);
    return nullptr;
  }
}

std::string ends_text(const tokenizer::Tokenizer& tokenizer) {
  std::set<std::string> ends;  // in whatever order the files have them
  for (const std::int32_t id : tokenizer.end_ids())
    if (id < tokenizer.size()) ends.insert(tokenizer.token(id));
  const std::vector<std::string> names(ends.begin(), ends.end());
  return base::join(names, ", ");
}

}  // namespace

void check_alike(const ModelFiles& first, const ModelFiles& other) {
  const ordered_json expected = ordered_json::parse(config_to_json(first.config(), "float32"));
  const ordered_json found = ordered_json::parse(config_to_json(other.config(), "float32"));
  const auto refuse = [&](const std::string& key) {
    const auto text = [&key](const ordered_json& config) {
      return config.contains(key) ? config[key].dump() : std::string("none");
    };
    throw base::Error({"models that are merged must be of one family and shape", other.path().string(),
                       key + " " + text(found), fmt::format("{}, as {} has it", text(expected), first.path().string()),
                       "take models that were trained from one base"});
  };
  if (expected["model_type"] != found["model_type"]) refuse("model_type");
  for (const auto& [key, value] : expected.items())
    if (!may_differ(key) && (!found.contains(key) || found[key] != value)) refuse(key);
  for (const auto& [key, value] : found.items())
    if (!may_differ(key) && !expected.contains(key)) refuse(key);
}

std::string difference_of_tokenizers(const ModelFiles& first, const ModelFiles& other,
                                     std::vector<std::string>& notes) {
  const auto one = tokenizer_of(first, notes), two = tokenizer_of(other, notes);
  if (!one || !two) return "";
  if (one->size() != two->size()) return fmt::format("{} tokens, and {}", one->size(), two->size());
  for (std::int32_t id = 0; id < one->size(); ++id)
    if (one->token(id) != two->token(id))
      return fmt::format("token {} is \"{}\", and \"{}\"", id, base::shortened(one->token(id)),
                         base::shortened(two->token(id)));
  constexpr const char* kProbe = "Hornbooks, 1,234 of them: it's  \xC3\xA9t\xC3\xA9\n\tif (x == 10) {}";
  if (one->encode(kProbe) != two->encode(kProbe)) return "the same tokens, but other ids of a text";
  if (ends_text(*one) != ends_text(*two))
    notes.push_back(fmt::format("{} ends its answers at {}, and {} at {}", first.path().string(), ends_text(*one),
                                other.path().string(), ends_text(*two)));
  if (one->chat_template != two->chat_template || one->tool_template != two->tool_template)
    notes.push_back(fmt::format("{} has another chat template than {}", other.path().string(), first.path().string()));
  return "";
}

}  // namespace lora
