// Every preset, through its own file, against the decisions of the program whose rules it reproduces
// (scripts/oracle/presets.py).
#include "curate/presets.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/file.h"
#include "curate/run_options.h"

namespace curate {
namespace {

/// The rules of a config that the golden files know: all but the language model and the search for duplicates.
struct Rules {
  explicit Rules(const std::string& yaml) {
    base::OptionSet set(options);
    set.read_yaml(yaml, "preset");
    const std::vector<StagePlan> stages = plan_stages(options.steps);
    for (const Rule& rule : stages.front().rules) {
      if (rule.label == "language") continue;
      rules.push_back(rule);
      rule.step->prepare();
    }
  }
  RunOptions options;
  std::vector<Rule> rules;
};

/// A decision as the golden files write it: [reason], or [reason, the text that was left] where it changed.
nlohmann::json decision(const std::string& reason, Document& document, const std::string& text) {
  nlohmann::json result = {reason};
  if (reason.empty() && document.text() != text) result.push_back(document.text());
  return result;
}

/// Decisions that differ from the golden file's: each rule on the text as it came, and all one behind another.
int differences(const std::string& preset, const std::string& yaml) {
  const auto golden =
      nlohmann::json::parse(base::read_file(HORNBOOK_SOURCE_DIR "/tests/golden/curate/preset-" + preset + ".json"));
  EXPECT_GT(golden["documents"].size(), 250u);
  Rules chain(yaml);
  EXPECT_FALSE(chain.rules.empty());
  Document document;
  int found = 0;
  auto compare = [&](const std::string& name, const nlohmann::json& expected, const std::string& reason,
                     const std::string& text) {
    if (expected[0].get<std::string>().ends_with("ZeroDivisionError")) return;
    const nlohmann::json ours = decision(reason, document, text);
    if (ours != expected && found++ < 3) ADD_FAILURE() << name << ": " << ours << " not " << expected << "\n" << text;
  };
  for (const auto& entry : golden["documents"]) {
    const std::string text = entry["text"];
    for (const Rule& rule : chain.rules) {
      document.reset(text, "1", "");
      const Verdict verdict = rule.step->apply(document);
      compare(rule.label, entry["decisions"].at(rule.label), std::string(verdict.reason), text);
    }
    document.reset(text, "1", "");
    std::string reason;
    for (const Rule& rule : chain.rules) {
      const Verdict verdict = rule.step->apply(document);
      if (verdict.keep) continue;
      reason = rule.label + ": " + std::string(verdict.reason);
      break;
    }
    compare("chain", entry["decisions"].at("chain"), reason, text);
  }
  return found;
}

/// The comparison with one word of the preset's file replaced must find differences.
void expect_that_it_can_fail(const std::string& preset, const std::string& part, const std::string& replacement) {
  std::string yaml = presets().at(preset);
  const std::size_t at = yaml.find(part);
  ASSERT_NE(at, std::string::npos) << part;
  yaml.replace(at, part.size(), replacement);
  testing::TestPartResultArray failures;
  int found;
  {
    testing::ScopedFakeTestPartResultReporter reporter(&failures);
    found = differences(preset, yaml);
  }
  EXPECT_GT(found, 0) << preset << ": " << replacement;
}

TEST(Presets, Datatrove010) {
  EXPECT_EQ(differences("datatrove-0.10", presets().at("datatrove-0.10")), 0);
  expect_that_it_can_fail("datatrove-0.10", "  - fineweb", "  - fineweb: {line_punct_thr: 0.2}");
}

}  // namespace
}  // namespace curate
