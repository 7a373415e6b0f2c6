// Includes point one way: base < tokenizer < {curate, lora} < finetune. Only finetune includes Torch headers, only the
// module base/parquet_* includes Arrow's.
#include <gtest/gtest.h>
#include <re2/re2.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace {

namespace fs = std::filesystem;

const std::map<std::string, std::set<std::string>> kAllowed = {
    {"base", {}},
    {"tokenizer", {"base"}},
    {"curate", {"base", "tokenizer"}},
    {"lora", {"base", "tokenizer"}},
    {"finetune", {"base", "tokenizer", "lora", "torch", "ATen", "c10"}},
};

// What `text`, a file of `folder`, includes and must not: "curate/step.h ...".
std::string wrong_includes(const std::string& folder, const std::string& text) {
  static const re2::RE2 kInclude(R"((?m)^[ \t]*#[ \t]*include[ \t]*["<](\w+)/([^">]*)[">])");
  static const std::set<std::string> kJudged = {"base",  "tokenizer", "curate", "lora",  "finetune", "tests",
                                                "torch", "ATen",      "c10",    "arrow", "parquet"};
  std::string wrong, target, file;
  for (re2::StringPiece rest(text); re2::RE2::FindAndConsume(&rest, kInclude, &target, &file);)
    if (kJudged.count(target) && target != folder && !kAllowed.at(folder).count(target))
      wrong += target + "/" + file + " ";
  return wrong;
}

TEST(Includes, PointOneWay) {
  int files = 0;
  for (const auto& [folder, allowed] : kAllowed) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(HORNBOOK_SOURCE_DIR) / folder)) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      if (entry.path().filename().string().starts_with("parquet_")) continue;
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      EXPECT_EQ(wrong_includes(folder, text.str()), "") << entry.path();
      ++files;
    }
  }
  EXPECT_GT(files, 30);
}

// The rooms of lora: model < adapter < lora/*.cc.
TEST(Includes, RoomsOfLoraPointOneWay) {
  static const re2::RE2 kNotOfModel(R"(#include "lora/(?:adapter/|[^/"]+\.h"))"),
      kNotOfAdapter(R"(#include "lora/[^/"]+\.h")");
  for (const auto& [room, wrong] : {std::pair("lora/model", &kNotOfModel), std::pair("lora/adapter", &kNotOfAdapter)})
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(HORNBOOK_SOURCE_DIR) / room)) {
      if (!entry.is_regular_file()) continue;
      std::stringstream text;
      text << std::ifstream(entry.path()).rdbuf();
      EXPECT_FALSE(re2::RE2::PartialMatch(text.str(), *wrong)) << entry.path();
    }
  EXPECT_TRUE(re2::RE2::PartialMatch("#include \"lora/locate.h\"", kNotOfModel));
  EXPECT_TRUE(re2::RE2::PartialMatch("#include \"lora/adapter/merge.h\"", kNotOfModel));
  EXPECT_FALSE(re2::RE2::PartialMatch("#include \"lora/model/spec.h\"", kNotOfModel));
}

TEST(Includes, AWrongDirectionIsSeen) {
  EXPECT_EQ(wrong_includes("base", "#include \"base/text.h\"\n#include <re2/re2.h>\n"), "");
  EXPECT_EQ(wrong_includes("curate", "// x\n#include \"finetune/model.h\"\n"), "finetune/model.h ");
  EXPECT_EQ(wrong_includes("finetune", "#include \"curate/step.h\"\n"), "curate/step.h ");
  EXPECT_EQ(wrong_includes("lora", "  # include <torch/torch.h>\n"), "torch/torch.h ");
  EXPECT_EQ(wrong_includes("tokenizer", "#include <ATen/ATen.h>\n#include <c10/core/Device.h>\n"),
            "ATen/ATen.h c10/core/Device.h ");
  EXPECT_EQ(wrong_includes("base", "#include <arrow/api.h>\n#include <parquet/properties.h>\n"),
            "arrow/api.h parquet/properties.h ");
}

}  // namespace
