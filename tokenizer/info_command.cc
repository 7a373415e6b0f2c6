// `tokenizer info`: what kind of tokenizer it is. Tested by tests/tokenizer/program_test.cc.
#include <fmt/format.h>
#include <fmt/ostream.h>

#include <nlohmann/json.hpp>

#include "base/json_values.h"
#include "base/text.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/commands.h"

namespace tokenizer {
namespace {

using nlohmann::json;

struct InfoOptions {
  std::vector<std::string> model;
  void visit(base::OptionVisitor& v) { v.positional("model", model, kModelHelp, base::PathKind::kModel); }
};

// What the chat template is, in a line.
std::string template_text(const Tokenizer& model) {
  if (base::trim(model.chat_template).empty()) return "none (choose one with --chat-template)";
  try {
    const auto chat = chat_template_of(model);
    const TurnShape& shape = chat->shape();
    std::string text = fmt::format("opens an answer with {}, ends it with {}", json(shape.prompt).dump(),
                                   shape.end ? model.token(*shape.end) : "no token");
    if (shape.marks) text += "; marks what is generated";
    if (!model.tool_template.empty())
      text += "; has another for tools";
    else if (model.chat_template.find("tools") != std::string::npos)
      text += "; knows tools";
    if (!chat->missing_tokens().empty()) text += "; missing tokens: " + base::join(chat->missing_tokens(), ", ");
    return text;
  } catch (const base::Error& error) {
    return fmt::format("cannot be used: {}", error.what());
  }
}

int run_info(InfoOptions& options, base::Context& context) {
  if (options.model.size() != 1)
    throw base::UsageError({"one tokenizer, please", "", fmt::format("{} of them", options.model.size()), kModelHelp,
                            "tokenizer info PATH"});
  const auto model = load(options.model[0]);
  json info = {{"kind", model->kind}, {"origin", model->origin}, {"size", model->size()}};
  const auto role = [&](const char* name, const std::optional<std::int32_t>& id) {
    info[name] = id ? json{{"id", *id}, {"token", model->token(*id)}} : json(nullptr);
  };
  role("bos", model->bos);
  role("eos", model->eos);
  info["other_ends"] = json::array();
  for (const std::int32_t id : model->other_ends)
    info["other_ends"].push_back({{"id", id}, {"token", id < model->size() ? model->token(id) : ""}});
  role("pad", model->pad);
  role("unknown", model->unknown);
  info["add_bos"] = model->add_bos;
  info["add_eos"] = model->add_eos;
  std::size_t special = 0;
  for (std::int32_t id = 0; id < model->size(); ++id) special += model->is_special(id);
  info["special_tokens"] = special;
  info["chat_template"] = template_text(*model);
  if (context.json) {
    context.out << base::json_dump(info) << "\n";
    return 0;
  }
  for (const char* key : {"kind", "origin", "size", "special_tokens", "bos", "eos", "other_ends", "pad", "unknown",
                          "add_bos", "add_eos", "chat_template"}) {
    const json& value = info[key];
    std::string text = value.is_string() ? value.get<std::string>() : value.dump();
    if (value.is_object()) text = fmt::format("{} {}", value["id"].get<int>(), value["token"].get<std::string>());
    if (value.is_array()) {
      std::vector<std::string> tokens;
      for (const json& end : value)
        tokens.push_back(fmt::format("{} {}", end["id"].get<int>(), end["token"].get<std::string>()));
      text = base::join(tokens, ", ");
    }
    if (value.empty()) text = "none";
    fmt::print(context.out, "{:<16}{}\n", key, text);
  }
  return 0;
}

}  // namespace

base::Command info_command() {
  return base::make_command<InfoOptions>("info", "what kind of tokenizer it is, its size and special tokens",
                                         "tokenizer info smollm2.gguf", run_info);
}

}  // namespace tokenizer
