// The document that steps look at: its views are of the newest text, and each step has memory of its own in it.
#include "curate/steps/document.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"

namespace {

using curate::Document;

TEST(Document, AStepHasASlotOfItsOwnThatStaysOverDocuments) {
  const int one = 0, other = 0;  // stand for two steps
  Document document;
  document.reset("first", "", "");
  std::vector<int>& slot = document.slot<std::vector<int>>(&one);
  EXPECT_TRUE(slot.empty());
  slot.assign(100, 7);
  document.slot<std::string>(&one) = "of another type";
  document.slot<std::vector<int>>(&other).push_back(1);
  const int* memory = slot.data();
  for (int i = 0; i < 100; ++i) document.slot<int>(&memory + i) = i;  // the table of slots grows: they do not move
  document.reset("second", "", "");
  EXPECT_EQ(&document.slot<std::vector<int>>(&one), &slot);
  EXPECT_EQ(slot.data(), memory);
  EXPECT_EQ(slot, std::vector<int>(100, 7));
  EXPECT_EQ(document.slot<std::string>(&one), "of another type");
  EXPECT_EQ(document.slot<std::vector<int>>(&other), std::vector<int>{1});
  Document of_another_thread;
  EXPECT_NE(&of_another_thread.slot<std::vector<int>>(&one), &slot);
}

// What is in a slot is freed with the document, as what it is.
TEST(Document, ASlotIsFreedWithTheDocument) {
  struct Counted {
    std::shared_ptr<int> token;
  };
  const auto token = std::make_shared<int>(1);
  {
    Document document;
    document.slot<Counted>(&token).token = token;
    EXPECT_EQ(token.use_count(), 2);
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(Document, ViewsAreOfTheNewestText) {
  Document document;
  document.reset("one two\nthree", "id", "source");
  EXPECT_EQ(document.word_count(), 3u);
  EXPECT_EQ(document.lines().size(), 2u);
  EXPECT_EQ(document.newline_parts().size(), 2u);
  EXPECT_TRUE(document.ascii());
  EXPECT_EQ(document.code_points(), 13u);
  EXPECT_FALSE(document.edited());
  document.replace_text("Käse");
  EXPECT_TRUE(document.edited());
  EXPECT_FALSE(document.ascii());
  EXPECT_EQ(document.code_points(), 4u);
  EXPECT_EQ(document.word_count(), 1u);
  EXPECT_EQ(document.lines().size(), 1u);
  EXPECT_EQ(document.newline_parts().size(), 1u);
  document.replace_text("known beforehand", 2);
  EXPECT_EQ(document.word_count(), 2u);
  document.set_score("a", 0.5);
  document.set_count("b", 3);
  document.set_label("c", "x");
  document.set_label("c", "y");
  EXPECT_FALSE(document.is_count("a"));
  EXPECT_TRUE(document.is_count("b"));
  EXPECT_EQ(document.labels(), (std::vector<std::pair<std::string, std::string>>{{"c", "y"}}));
  document.reset("next", "", "");
  EXPECT_FALSE(document.edited());
  EXPECT_TRUE(document.scores().empty());
  EXPECT_TRUE(document.labels().empty());
  EXPECT_FALSE(document.is_count("b"));
}

// A document knows nothing of who looks at it: no classifier stands in its header.
TEST(Document, KnowsNoClassifier) {
  const std::string header =
      base::read_file(std::filesystem::path(HORNBOOK_SOURCE_DIR) / "curate" / "steps" / "document.h");
  EXPECT_NE(header.find("#include \"curate/text/"), header.npos);
  EXPECT_EQ(header.find("curate/scorer/"), header.npos);
}

}  // namespace
