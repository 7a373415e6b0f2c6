// One record -> token ids and the mask of what is trained. Tested by tests/finetune/data_test.cc and records_test.cc.
#include "finetune/data/example_maker.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_fault.h"
#include "base/json_values.h"
#include "base/text.h"
#include "finetune/data/pairs.h"
#include "finetune/data/record_checks.h"
#include "tokenizer/chat/json_texts.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;
using tokenizer::Conversation;
using tokenizer::Message;

bool is_blank(const std::string& text) { return base::trim(text).empty(); }

// Whether an answer that is trained says nothing.
bool has_empty_answer(const std::vector<Message>& messages, tokenizer::TrainOn train_on) {
  for (auto message = messages.rbegin(); message != messages.rend(); ++message) {
    if (message->role != "assistant") continue;
    const auto is_said = [](const tokenizer::Member& member) {
      return tokenizer::is_said(member, tokenizer::Holder::kMessage);
    };
    const bool is_target{!message->in_prompt || train_on == tokenizer::TrainOn::kAll};
    const bool is_trained{message->trained.value_or(is_target) && message->weight != 0};
    if (is_trained && is_blank(message->content) && std::ranges::none_of(message->members, is_said)) return true;
    if (train_on == tokenizer::TrainOn::kLast) break;
  }
  return false;
}

}  // namespace

void MakerOptions::visit(base::OptionVisitor& v) {
  v("allow_special", allow_special, "special tokens written out in texts, prompts and completions become tokens");
  v("roles", roles, "what else the data call a role: NAME=ROLE, ROLE one of system, user, assistant, tool");
  train_on.visit(v);
  text.visit(v);
}

ExampleMaker::ExampleMaker(const tokenizer::Tokenizer& tokenizer, const MakerOptions& options)
    : tokenizer_(tokenizer),
      allow_special_(options.allow_special),
      wanted_(options.wanted),
      roles_(tokenizer::role_map(options.roles)),
      train_on_(options.train_on.value()) {
  try {
    chat_ = tokenizer::chat_template_of(tokenizer);
    end_ids_ = chat_->stop_ids();
  } catch (const base::Error& error) {
    end_ids_ = tokenizer.end_ids();
    chat_error_ = error.what();
  }
}

Example ExampleMaker::from_chat(const Conversation& conversation, RecordNotes& notes) const {
  check_members(conversation);
  for (const Message& message : conversation.messages) check_message(message);
  notes.is_chat = true;
  notes.has_empty_answer = has_empty_answer(conversation.messages, train_on_);
  notes.has_nulls = has_null_members(conversation);
  if (!chat_) {
    throw base::UsageError(
        {"the data has conversations, but the model's chat template cannot be used: " + chat_error_, "--data", "", "",
         "choose a template with --chat-template, or give {\"prompt\", \"completion\"} or {\"text\"} records"});
  }
  static thread_local tokenizer::RenderedChat chat;  // its memory is used again
  chat_->render_text(conversation.messages, false, conversation.members, train_on_, chat);
  tokenizer::Rendered rendered = tokenizer::encode_chat(tokenizer_, chat);
  notes.left_out = std::move(chat.left_out);
  notes.drops_messages = !chat.dropped.empty();
  notes.cuts_messages = !chat.shortened.empty();
  notes.specials_as_text = rendered.specials_as_text > 0;
  if (notes.try_round_trip) notes.round_trips = tokenizer_.decode(rendered.ids) == chat.text;
  return {std::move(rendered.ids), std::move(rendered.trained)};
}

Example ExampleMaker::from_text(const std::string& prompt, const std::string& completion, RecordNotes& notes,
                                bool trains_prompt) const {
  const std::string text = prompt + completion;
  const tokenizer::ByteRange all{0, text.size()};
  const tokenizer::DataRanges data =
      allow_special_ || text.empty() ? tokenizer::DataRanges() : tokenizer::DataRanges(&all, 1);
  tokenizer::Encoding encoding = tokenizer_.encode_with_offsets(text, data);
  notes.specials_as_text = encoding.specials_as_text > 0;
  if (notes.try_round_trip) notes.round_trips = tokenizer_.decode(encoding.ids) == text;
  Example example;
  example.ids = std::move(encoding.ids);
  // The token that holds the last of the prompt and the first of the completion counts as completion.
  for (const tokenizer::ByteRange& offsets : encoding.offsets) {
    example.trained.push_back(trains_prompt || offsets.end > prompt.size() || offsets.begin >= prompt.size());
    notes.crosses |= !trains_prompt && offsets.begin < prompt.size() && offsets.end > prompt.size();
  }
  notes.is_plain = !prompt.empty() && chat_ != nullptr;
  notes.has_empty_answer = is_blank(completion);
  notes.untrained_first = !trains_prompt && !prompt.empty() && !example.trained.empty() && example.trained[0];
  if (tokenizer_.add_bos && tokenizer_.bos && (example.ids.empty() || example.ids.front() != *tokenizer_.bos)) {
    example.ids.insert(example.ids.begin(), *tokenizer_.bos);
    example.trained.insert(example.trained.begin(), 0);
    notes.untrained_first = false;
  }
  const std::vector<std::int32_t> ends = tokenizer_.end_ids();
  if (!ends.empty() && (example.ids.empty() || example.ids.back() != ends.front())) {
    example.ids.push_back(ends.front());
    example.trained.push_back(1);
  }
  return example;
}

Example ExampleMaker::from_answer(const Conversation& conversation, RecordNotes& notes) const {
  if (conversation.format == "text") return from_text("", conversation.text, notes, false);
  if (!conversation.plain) return from_chat(conversation, notes);
  check_members(conversation);
  const bool trains_prompt = train_on_ == tokenizer::TrainOn::kAll;
  return from_text(conversation.messages[0].content, conversation.messages[1].content, notes, trains_prompt);
}

Example ExampleMaker::from_judged(Conversation& conversation, RecordNotes& notes) const {
  const bool is_desirable{take_verdict(conversation, notes)};
  judge_last_answer(conversation);
  Example example = from_answer(conversation, notes);
  if (!is_desirable) std::ranges::replace(example.trained, std::uint8_t{1}, kUndesirable);
  return example;
}

Example ExampleMaker::from_pair(Conversation& conversation, bool is_text, RecordNotes& notes) const {
  drop_verdicts(conversation);  // a pair says itself which answer is the better one
  const auto& messages = conversation.messages;
  if (is_text) {
    conversation.format = "prompt";
    conversation.plain = true;
    check_members(conversation);
    RecordNotes second;
    Example chosen = from_text(messages[0].content, messages[1].content, notes, false);
    const Example rejected = from_text(messages[0].content, conversation.rejected[0].content, second, false);
    notes.specials_as_text |= second.specials_as_text;
    notes.untrained_first |= second.untrained_first;
    notes.crosses |= second.crosses;
    notes.has_empty_answer |= second.has_empty_answer;
    return joined(std::move(chosen), rejected);
  }
  Conversation side = conversation;
  side.format = "messages";
  side.messages.resize(conversation.prompt);
  for (Message& message : side.messages) message.trained = false;  // answers in a prompt stand on both sides
  Conversation other = side;
  const auto is_said = [](const Message& message) { return message.role != "assistant"; };
  notes.asks_again |=
      std::any_of(messages.begin() + static_cast<std::ptrdiff_t>(conversation.prompt), messages.end(), is_said) ||
      std::ranges::any_of(conversation.rejected, is_said);
  side.messages.insert(side.messages.end(), messages.begin() + static_cast<std::ptrdiff_t>(conversation.prompt),
                       messages.end());
  other.messages.insert(other.messages.end(), conversation.rejected.begin(), conversation.rejected.end());
  RecordNotes second;
  Example chosen = from_chat(side, notes);
  const Example rejected = from_chat(other, second);
  notes.specials_as_text |= second.specials_as_text;
  notes.drops_messages |= second.drops_messages;
  notes.cuts_messages |= second.cuts_messages;
  notes.has_empty_answer |= second.has_empty_answer;
  notes.has_nulls |= second.has_nulls;
  for (const std::string& name : second.left_out)
    if (std::ranges::find(notes.left_out, name) == notes.left_out.end()) notes.left_out.push_back(name);
  return joined(std::move(chosen), rejected);
}

Example ExampleMaker::make(std::string_view record, RecordNotes* notes) const {
  RecordNotes unused;
  RecordNotes& said = notes ? *notes : unused;
  Json json = base::lenient_ordered_json(record, &said.repeated_keys);
  if (json.is_discarded()) throw base::Error({"not valid JSON", "", base::json_fault(record), "", ""});
  if (const auto problem = tokenizer::open_json_texts(json, &said.repeated_keys)) throw base::Error(problem->facts);
  if (wanted_ != Wanted::kAnswers) state_prompt(json);
  Conversation conversation;
  if (const auto problem = tokenizer::read_conversation(json, roles_, conversation)) throw base::Error(problem->facts);
  check_flags(conversation, said);
  const bool is_pair{conversation.format == "preference"};
  if (wanted_ == Wanted::kPairs && !is_pair)
    throw base::Error({"no pair of answers", conversation.format, "", "chosen and rejected",
                       "train on answers with --objective answers, on answers with a label with --objective kto"});
  Example example = wanted_ == Wanted::kAnswers ? from_answer(conversation, said)
                    : is_pair                   ? from_pair(conversation, is_text_pair(json, conversation), said)
                                                : from_judged(conversation, said);
  return example;
}

bool ExampleMaker::trains_end(const Example& example) const {
  const std::size_t end = example.second > 0 ? example.second : example.ids.size();
  for (std::size_t i = end; i-- > 1;)  // most stand last
    if (example.trained[i] && std::ranges::find(end_ids_, example.ids[i]) != end_ids_.end()) return true;
  return false;
}

}  // namespace finetune
