// .model files: our own BPE where it is exact, sentencepiece for all others.
#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/temporary_folder.h"
#include "tests/tokenizer/golden.h"
#include "tokenizer/models/sentencepiece_tokenizer.h"

namespace {

using namespace tokenizer_test;

// Mistral's model with a normaliser that we leave to sentencepiece: it takes extra blanks away.
std::filesystem::path with_another_normaliser(const TemporaryFolder& folder) {
  const std::filesystem::path path = folder / "other.model";
  base::write_file(path, base::read_file(mistral()) + std::string("\x1A\x02\x20\x01", 4));
  return path;
}

TEST(SentencePiece, BothEncodersAgree) {
  const TemporaryFolder folder;
  const tokenizer::SentencePieceTokenizer ours(mistral(), false), library(with_another_normaliser(folder), false);
  std::size_t compared = 0;
  for (const auto& item : golden("texts")) {
    const auto text = item.get<std::string>();
    const bool has_marks = text.find("\u2581") != std::string::npos;  // blanks too, to the library
    if (has_marks || text.find("  ") != std::string::npos || text.starts_with(' ') || text.ends_with(' ')) continue;
    ASSERT_EQ(ours.encode(text), library.encode(text)) << text;
    const tokenizer::ByteRange all{0, text.size()};
    ASSERT_EQ(ours.encode_with_offsets(text, {&all, 1}).offsets, library.encode_with_offsets(text, {&all, 1}).offsets)
        << text;
    ++compared;
  }
  EXPECT_GT(compared, 100u);
  // The second is really the library with its normaliser.
  EXPECT_NE(ours.encode("a  b"), library.encode("a  b"));
  EXPECT_EQ(library.encode("a  b"), library.encode("a b"));
}

// A user-defined piece is found wherever it stands, and what follows it has no dummy prefix.
TEST(SentencePiece, UserDefinedPiecesAreFoundByBoth) {
  const TemporaryFolder folder;
  const std::string piece("\x0A\x0E\x0A\x05[REF]\x15\0\0\0\0\x18\x04", 16);  // pieces {piece, score 0, type 4}
  base::write_file(folder / "ours.model", base::read_file(mistral()) + piece);
  base::write_file(folder / "library.model", base::read_file(with_another_normaliser(folder)) + piece);
  const tokenizer::SentencePieceTokenizer ours(folder / "ours.model", false), library(folder / "library.model", false);
  ASSERT_TRUE(ours.id_of("[REF]"));
  for (const std::string text : {"[REF] x", "[REF][REF]a", "x[REF]hello", "a [REF]", "[REF", "[REF]"}) {
    const tokenizer::ByteRange all{0, text.size()};
    EXPECT_EQ(ours.encode(text), library.encode(text)) << text;
    EXPECT_EQ(ours.encode_with_offsets(text, {&all, 1}).offsets, library.encode_with_offsets(text, {&all, 1}).offsets)
        << text;
  }
  EXPECT_EQ(ours.encode("x[REF]hello")[1], *ours.id_of("[REF]"));
}

TEST(SentencePiece, BytesThatAreNoTextBecomeReplacementCharacters) {
  const tokenizer::SentencePieceTokenizer model(mistral(), false);
  EXPECT_EQ(model.encode("a\xFF"
                         "b"),
            model.encode("a\uFFFDb"));
}

}  // namespace
