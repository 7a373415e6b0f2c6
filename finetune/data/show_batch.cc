// A packed row for people. Tested by tests/finetune/show_batch_test.cc.
#include "finetune/data/show_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/text.h"

namespace finetune {
namespace {

// One document of a row; of a pair there are two. `trained[0]` is never a target.
struct Document {
  std::string name;
  std::vector<std::int32_t> ids;
  std::vector<bool> trained;
};

Document document_of(const ExampleView& example, std::size_t begin, std::size_t end, std::string name) {
  Document document{std::move(name), {}, {}};
  for (std::size_t i = begin; i < end; ++i) {
    document.ids.push_back(example.ids[i]);
    document.trained.push_back(i > begin && example.trained[i] != 0 && example.trained[i] != kCompared);
  }
  return document;
}

// What the documents of an example are, where there are two.
std::array<const char*, 2> roles_of(const ExampleView& example, bool has_verdicts) {
  if (!has_verdicts) return {", chosen", ", rejected"};
  const bool is_bad = std::ranges::find(example.trained, kUndesirable) != example.trained.end();
  return {is_bad ? ", bad" : ", good", ", mismatched"};
}

std::vector<Document> documents_of(const Examples& examples, const RowPlan& row, const DataReport& report,
                                   bool has_verdicts) {
  std::vector<Document> documents;
  for (const std::uint32_t place : row) {
    const ExampleView example = examples[place];
    std::string name = report.place(example.origin);
    if (example.origin.piece > 0) name += fmt::format(", piece {}", example.origin.piece + 1);
    if (example.second == 0) {
      documents.push_back(document_of(example, 0, example.ids.size(), name));
      continue;
    }
    const auto [first, second] = roles_of(example, has_verdicts);
    documents.push_back(document_of(example, 0, example.second, name + first));
    documents.push_back(document_of(example, example.second, example.ids.size(), name + second));
  }
  return documents;
}

std::int64_t trained_in(const Document& document) {
  return std::count(document.trained.begin(), document.trained.end(), true);
}

// The text of tokens [begin, end) where they stand: some tokenizers write a first token otherwise.
std::string text_of(const Document& document, std::size_t begin, std::size_t end,
                    const tokenizer::Tokenizer& tokenizer) {
  const auto upto = [&](std::size_t place) {
    return tokenizer.decode({document.ids.begin(), document.ids.begin() + static_cast<std::ptrdiff_t>(place)});
  };
  const std::string before = upto(begin), all = upto(end);
  if (all.starts_with(before)) return all.substr(before.size());
  return tokenizer.decode({document.ids.begin() + static_cast<std::ptrdiff_t>(begin),
                           document.ids.begin() + static_cast<std::ptrdiff_t>(end)});
}

std::string marked(const Document& document, const tokenizer::Tokenizer& tokenizer, bool colour) {
  const char* const open = colour ? "\033[32m" : "\u27E6";
  const char* const close = colour ? "\033[0m" : "\u27E7";
  std::string text;
  for (std::size_t begin = 0, end = 0; begin < document.ids.size(); begin = end) {
    while (end < document.ids.size() && document.trained[end] == document.trained[begin]) ++end;
    const std::string part = text_of(document, begin, end, tokenizer);
    text += document.trained[begin] ? open + part + close : part;
  }
  return text;
}

}  // namespace

std::string shown_row(const Examples& examples, const RowPlan& row, const DataReport& report,
                      const tokenizer::Tokenizer& tokenizer, bool colour, bool has_verdicts) {
  std::string text;
  std::size_t tokens = 0;
  std::int64_t trained = 0;
  const std::vector<Document> documents = documents_of(examples, row, report, has_verdicts);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    const Document& document = documents[i];
    tokens += document.ids.size();
    trained += trained_in(document);
    text += fmt::format("--- document {} of {}: {}; {} tokens, {} trained ---\n{}\n", i + 1, documents.size(),
                        document.name, document.ids.size(), trained_in(document), marked(document, tokenizer, colour));
  }
  return text + fmt::format("--- {} tokens, {} of them trained{} ---\n", base::human_count(tokens),
                            base::human_count(static_cast<std::uint64_t>(trained)),
                            colour ? " (green)" : " (in \u27E6brackets\u27E7)");
}

nlohmann::ordered_json row_json(const Examples& examples, const RowPlan& row, const DataReport& report,
                                const tokenizer::Tokenizer& tokenizer, bool has_verdicts) {
  constexpr int kNotTrained = -100;
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const Document& document : documents_of(examples, row, report, has_verdicts)) {
    nlohmann::ordered_json targets = nlohmann::ordered_json::array();
    for (std::size_t i = 0; i < document.ids.size(); ++i)
      targets.push_back(document.trained[i] ? document.ids[i] : kNotTrained);
    json.push_back({{"record", document.name},
                    {"ids", document.ids},
                    {"targets", std::move(targets)},
                    {"text", tokenizer.decode(document.ids)}});
  }
  return json;
}

}  // namespace finetune
