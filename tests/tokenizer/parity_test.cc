// The same ids as tokenizers and sentencepiece on 2,000 mixed-script texts.
#include <atomic>
#include <thread>

#include "base/gguf.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/models/bpe_tokenizer.h"
#include "tokenizer/read/readers.h"
#include "tokenizer/spec/tokenizer.h"
#include "tokenizer/split/pre_tokenizer.h"

namespace {

using namespace tokenizer_test;
using tokenizer::SplitStep;

// How many texts get other ids than the peer gave them; the first few are printed when `tell`.
std::size_t differences(const tokenizer::Tokenizer& model, const nlohmann::json& texts, const nlohmann::json& expected,
                        bool tell = true) {
  std::size_t different = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const std::string key = std::to_string(i);
    const nlohmann::json& plain =
        expected.contains("plain") && expected["plain"].contains(key) ? expected["plain"][key] : expected["ids"][i];
    for (const bool parse_special : {true, false}) {
      const auto& wanted = parse_special ? expected["ids"][i] : plain;
      const Ids ids = model.encode(text, parse_special);
      if (ids == wanted.get<Ids>()) continue;
      if (tell && different < 5)
        ADD_FAILURE() << "text " << i << (parse_special ? " (special)" : " (plain)") << ": " << texts[i] << "\nours "
                      << nlohmann::json(ids) << "\npeer " << wanted;
      ++different;
    }
  }
  return different;
}

TEST(Parity, SmolLm2EqualsTokenizers) {
  const auto model = tokenizer::load(smollm2());
  const auto texts = golden("texts");
  ASSERT_EQ(texts.size(), 2000u);
  EXPECT_EQ(differences(*model, texts, golden("smollm2")), 0u);
  for (const auto& text : texts)
    for (const bool parse_special : {false, true})
      ASSERT_EQ(model->decode(model->encode(text.get<std::string>(), parse_special)),
                representable(*model, text.get<std::string>()));
}

TEST(Parity, SmolLm2CanFail) {
  const auto texts = golden("texts"), expected = golden("smollm2");
  tokenizer::BpeSpec spec = tokenizer::spec_from_gguf(base::GgufReader(smollm2()));
  spec.splits = {SplitStep::kGpt2};  // digits not cut apart
  EXPECT_GT(differences(tokenizer::BpeTokenizer(spec), texts, expected, false), 50u);
  spec.splits = {SplitStep::kDigits, SplitStep::kQwen2};
  EXPECT_GT(differences(tokenizer::BpeTokenizer(spec), texts, expected, false), 50u);
  spec.splits = {SplitStep::kDigits, SplitStep::kGpt2};
  EXPECT_EQ(differences(tokenizer::BpeTokenizer(spec), texts, expected, false), 0u);
  std::swap(spec.merges[40].rank, spec.merges[1000].rank);
  EXPECT_GT(differences(tokenizer::BpeTokenizer(spec), texts, expected, false), 0u);
}

TEST(Parity, MistralEqualsSentencePiece) {
  const auto model = tokenizer::load(mistral());
  const auto texts = golden("texts"), expected = golden("mistral");
  std::size_t decoded = 0;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const Ids ids = model->encode(text);
    ASSERT_EQ(ids, expected["ids"][i].get<Ids>()) << i << " " << texts[i];
    if (text.find("\u2581") == std::string::npos) {  // "▁" comes back as a blank
      ASSERT_EQ(model->decode(ids), text);
    }
    decoded += model->decode(ids) == expected["decoded"][i].get<std::string>();
  }
  // Not all: sentencepiece's own decode writes U+FFFD where bytes are incomplete.
  EXPECT_GT(decoded, texts.size() * 9 / 10);
  EXPECT_EQ(model->encode("<s>a</s>", true), (Ids{1, 28708, 2}));  // no "▁" after a special token
  EXPECT_GT(model->encode("<s>a</s>", false).size(), 5u);
  EXPECT_EQ(model->decode({1, 22557, 2}), "<s>Hello</s>");
  EXPECT_EQ(model->decode({1, 22557, 2}, true), "Hello");
}

TEST(Parity, EveryCodePointHasItsClass) {
  char32_t code = 0;
  const auto expected = golden("classes");
  for (const auto& run : expected["runs"]) {
    for (int i = run[1].get<int>(); i > 0; --i, ++code)
      ASSERT_EQ("OLNS"[static_cast<int>(tokenizer::class_of(code))], run[0].get<std::string>()[0])
          << std::hex << static_cast<std::uint32_t>(code);
  }
  EXPECT_EQ(code, 0x110000u);
  // ASCII has a table of its own.
  for (char32_t c = 0; c < 128; ++c) EXPECT_EQ(tokenizer::kAscii[c], tokenizer::class_of(c));
}

TEST(Parity, PiecesEqualTokenizers) {
  const auto texts = golden("texts"), expected = golden("splits");
  const std::vector<std::pair<const char*, SplitStep>> steps = {{"gpt2", SplitStep::kGpt2},
                                                                {"llama3", SplitStep::kLlama3},
                                                                {"qwen2", SplitStep::kQwen2},
                                                                {"digits", SplitStep::kDigits},
                                                                {"digit_runs", SplitStep::kDigitRuns}};
  for (const auto& [name, step] : steps) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto text = texts[i].get<std::string>();
      std::vector<std::size_t> lengths;
      const auto sink = [&](std::string_view piece, const char*) { lengths.push_back(piece.size()); };
      tokenizer::PreTokenizer({step}).run(text, text.data() + text.size(), 1, sink);
      ASSERT_EQ(lengths, expected[name][i].get<std::vector<std::size_t>>()) << name << " " << i << " " << texts[i];
    }
  }
}

// Every feature of tokenizer.json that we take, each in a small vocabulary of its own.
TEST(Parity, SmallVocabulariesEqualTokenizers) {
  const auto models = golden("small")["models"];
  ASSERT_GE(models.size(), 11u);
  for (const auto& [name, model] : models.items()) {
    SCOPED_TRACE(name);
    const tokenizer::BpeTokenizer ours(tokenizer::spec_from_tokenizer_json(model["tokenizer"].dump(), name));
    EXPECT_EQ(differences(ours, model["texts"], model), 0u);
    std::size_t different = 0;
    for (std::size_t i = 0; i < model["texts"].size(); ++i) {
      const auto wanted = model["decoded"][i].get<std::string>();
      if (wanted.find("\xEF\xBF\xBD") != std::string::npos) continue;  // the peer writes U+FFFD, we keep the bytes
      const std::string got = ours.decode(model["ids"][i].get<Ids>());
      if (got != wanted && different++ < 3)
        ADD_FAILURE() << "decoded text " << i << "\nours "
                      << nlohmann::json(got).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) << "\npeer "
                      << model["decoded"][i];
    }
    EXPECT_EQ(different, 0u);
  }
}

TEST(Parity, ThreadsShareOneTokenizer) {
  const auto model = tokenizer::load(smollm2());
  const auto texts = golden("texts"), expected = golden("smollm2");
  std::vector<std::string> inputs = texts.get<std::vector<std::string>>();
  const auto ids = expected["ids"].get<std::vector<Ids>>();
  std::atomic<std::size_t> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (std::size_t i = 0; i < inputs.size(); ++i) {
          const std::size_t n = (i * 7 + t * 500) % inputs.size();
          wrong += model->encode(inputs[n], true) != ids[n];
        }
      });
  }
  EXPECT_EQ(wrong, 0u);
}

}  // namespace
