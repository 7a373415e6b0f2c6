// Personal and secret data in a text: found by shape and, where there is one, by checksum; masked or only counted.
// Tested by tests/curate/steps/cleaning_test.cc.
#include "curate/steps/pii.h"

#include "curate/steps/judge.h"

namespace curate {

void Pii::visit(base::OptionVisitor& v) {
  static constexpr const char* kHelp[] = {"e-mail addresses",     "IP addresses",
                                          "telephone numbers",    "bank accounts (IBAN)",
                                          "payment card numbers", "keys and tokens of services, private keys"};
  for (std::size_t i = 0; i < kPiiNames.size(); ++i) {
    v.choice(kPiiNames[i], action[i], {"mask", "count", "off"}, std::string("what is done with ") + kHelp[i]);
  }
  v("private_ips", private_ips, "also private, local and documentation addresses");
  v("max_finds", max_finds, "drop documents with more finds (0: off)").at_least(0);
}

Verdict Pii::apply(Document& document, std::vector<Measure>* measures) const {
  Judge judge(measures, document);
  std::string_view text = document.text();
  std::vector<PiiFind> finds;
  find_pii(text, private_ips, finds);
  std::array<std::size_t, kPiiNames.size()> counts{};
  std::string masked;
  std::size_t copied = 0, total = 0;
  for (const PiiFind& find : finds) {
    const auto kind = static_cast<std::size_t>(find.kind);
    if (action[kind] == "off") continue;
    ++counts[kind];
    ++total;
    if (action[kind] != "mask") continue;
    masked += text.substr(copied, find.begin - copied);
    masked += '<';
    masked += kPiiNames[kind];
    masked += '>';
    copied = find.end;
  }
  static constexpr std::string_view kScores[] = {"pii_email", "pii_ip", "pii_phone", "pii_iban", "pii_card", "pii_key"};
  for (std::size_t kind = 0; kind < counts.size(); ++kind) {
    if (counts[kind] > 0) document.set_count(kScores[kind], counts[kind]);
  }
  if (copied > 0) {
    masked += text.substr(copied);
    document.replace_text(std::move(masked));
  }
  if (max_finds != 0) judge.above("pii", static_cast<double>(total), static_cast<double>(max_finds));
  return judge.verdict();
}

std::vector<Evidence> Pii::evidence(Document& document, std::string_view measure) const {
  std::vector<PiiFind> finds;
  std::vector<Evidence> result;
  if (!measure.empty()) return result;  // they are shown for the step as a whole
  find_pii(document.text(), private_ips, finds);
  for (const PiiFind& find : finds) {
    const auto kind = static_cast<std::size_t>(find.kind);
    if (action[kind] == "off") continue;
    result.push_back({std::string(kPiiNames[kind]) + (action[kind] == "mask" ? ", masked" : ", counted"),
                      document.text().substr(find.begin, find.end - find.begin)});
  }
  return result;
}

}  // namespace curate
