// Times what a trainer does with conversations, on one thread: rendering, and rendering, encoding and masking.
//
//     chat_benchmark MODEL CONVERSATIONS.jsonl ROUNDS ENCODED.jsonl
//
// Prints {"render": seconds, "all": seconds}, the median round of each over all conversations, in processor time.
// Messages are read before. ENCODED.jsonl gets {"ids": [...], "trained": [...]} a line.
#include <algorithm>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <vector>

#include "base/error.h"
#include "tokenizer/chat/chat.h"
#include "tokenizer/chat/conversation.h"
#include "tokenizer/spec/tokenizer.h"

namespace {

using tokenizer::jinja::Json;

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double median_seconds(int rounds, const std::function<void()>& round) {
  std::vector<double> seconds;
  for (int i = 0; i < rounds; ++i) {
    const double begin = processor_seconds();
    round();
    seconds.push_back(processor_seconds() - begin);
  }
  std::ranges::nth_element(seconds, seconds.begin() + rounds / 2);
  return seconds[static_cast<std::size_t>(rounds / 2)];
}

std::vector<std::vector<tokenizer::Message>> read_messages(const char* path) {
  std::vector<std::vector<tokenizer::Message>> all;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    tokenizer::Conversation conversation;
    if (const auto problem = tokenizer::read_conversation(Json::parse(line), tokenizer::role_map({}), conversation))
      throw base::Error(problem->facts);
    all.push_back(std::move(conversation.messages));
  }
  return all;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 5) throw base::UsageError("chat_benchmark MODEL CONVERSATIONS.jsonl ROUNDS ENCODED.jsonl");
  const auto model = tokenizer::load(argv[1]);
  const auto chat = tokenizer::chat_template_of(*model);
  const auto conversations = read_messages(argv[2]);
  const int rounds = std::max(1, std::atoi(argv[3]));
  std::size_t total = 0;
  tokenizer::RenderedChat kept;
  const double render = median_seconds(rounds, [&] {
    for (const auto& messages : conversations) {
      chat->render_text(messages, false, {}, tokenizer::TrainOn::kAssistant, kept);
      total += kept.text.size();
    }
  });
  const double all = median_seconds(rounds, [&] {
    for (const auto& messages : conversations) total += chat->render(messages, false).ids.size();
  });
  std::ofstream out(argv[4]);
  for (const auto& messages : conversations) {
    const tokenizer::Rendered encoded = chat->render(messages, false);
    out << Json{{"ids", encoded.ids}, {"trained", encoded.trained}}.dump() << '\n';
  }
  std::cout << Json{{"render", render}, {"all", all}, {"bytes_and_ids", total}}.dump() << '\n';
} catch (const base::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
