// What the unicode step does with controls, separators and misread text: nothing is joined, nothing right is changed.
#include "curate/steps/unicode_step.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace curate {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

double score_of(const Document& document, std::string_view name) {
  for (const auto& [known, value] : document.scores())
    if (known == name) return value;
  return 0;
}

std::string mended(const std::string& text, Document* counted = nullptr) {
  Document own;
  Document& document = counted != nullptr ? *counted : own;
  document.reset(text, "", "");
  EXPECT_TRUE(Unicode().apply(document).keep);
  return std::string(document.text());
}

TEST(UnicodeStep, ControlsOfWindows1252BecomeWhatWasMeant) {
  for (const auto& [from, to] : Pairs{{"\u0093we don\u0092t\u0094", "“we don’t”"},
                                      {"5 \u0080 \u0096 \u0095 \u009fes\u0085", "5 € – • Ÿes…"},
                                      {"\u009bquoted\u008b", "›quoted‹"},
                                      {"a\u0081b\u008dc", "abc"}})
    EXPECT_EQ(mended(from), to);
  Document document;
  mended("\u0093a\u0094 b\u0081", &document);
  EXPECT_EQ(score_of(document, "unicode_windows_1252"), 2);
  EXPECT_EQ(score_of(document, "unicode_controls"), 1);
}

TEST(UnicodeStep, ControlsWithAnotherMeaningAreTaken) {
  for (const auto& [from, to] :
       Pairs{{"one\u0085two", "one\ntwo"},                   // next line
             {"wait\u0085 \u0093yes\u0094", "wait… “yes”"},  // an ellipsis, as its company shows
             {"\x1B[31mred\x1B[0m \u009b1;2mbold", "red bold"},
             {"\u0098The\u009c Hobbit", "The Hobbit"}})
    EXPECT_EQ(mended(from), to);
}

TEST(UnicodeStep, SeparatorsJoinNoWords) {
  for (const auto& [from, to] : Pairs{{"one.\fStart", "one.\nStart"},
                                      {"one\vtwo", "one\ntwo"},
                                      {"one\u2028two\u2029three", "one\ntwo\nthree"},
                                      {"a\x1C"
                                       "b\x1D"
                                       "c\x1E"
                                       "d",
                                       "a\nb\nc\nd"},
                                      {"key\x1Fvalue", "key value"},
                                      {"end.\uFEFFStart", "end.\nStart"},
                                      {"last line\n\fFirst line\f\n", "last line\nFirst line\n"},  // no new paragraphs
                                      {"key\x1F value", "key value"},
                                      {"\uFEFFbegin in\uFEFFside", "begin inside"},
                                      {"soft\u00ADhyphen zero\u200Bwidth", "soft\u00ADhyphen zero\u200Bwidth"}})
    EXPECT_EQ(mended(from), to);
  Document document;
  mended(
      "a\fb\u2028c\x1F"
      "d\n\f\x01",
      &document);
  EXPECT_EQ(score_of(document, "unicode_separators"), 3);
  EXPECT_EQ(score_of(document, "unicode_controls"), 2);
  EXPECT_TRUE(document.is_count("unicode_separators"));
}

TEST(UnicodeStep, ANoBreakSpaceThatBecameASpaceIsKnown) {
  for (const auto& [from, to] : Pairs{{"Ã  la carte", "à la carte"},
                                      {"dÃ©jÃ  vu et voilÃ  tout", "déjà vu et voilà tout"},
                                      {"dÃ©jÃ vu", "déjà vu"},
                                      {"voilÃ , enfin", "voilà, enfin"},
                                      {"cafÃ© Ã la crÃ¨me", "café à la crème"},
                                      {"word.Â  Next 10Â kg", "word.  Next 10 kg"},
                                      {"Ð Ð¾Ð´", "Род"}})
    EXPECT_EQ(mended(from), to);
  for (const std::string text : {"Ã", "Â 1", "MAÇÃ  É", "fiancÃ", "Ä Ä Ä"}) EXPECT_EQ(mended(text), text);
}

TEST(UnicodeStep, LettersBeforeTheMarksThatEndAWordStay) {
  for (const std::string text : {"« au café\u00A0»", "“this café”…", "“A MANHÔ", "AMANHÃ…", "the letter “Ä”"})
    EXPECT_EQ(mended(text), text);
  EXPECT_EQ(mended("SÃ… cafÃ© SÃ…"), "SÅ café SÅ");  // in a text that is misread elsewhere
  EXPECT_EQ(mended(std::string("Ã") + '\0'), "Ã");
  EXPECT_EQ(mended("Aåž‹ CÃ”TE cafÃ©… donâ€™t wowðŸ™‚"), "A型 CÔTE café… don’t wow🙂");
}

}  // namespace
}  // namespace curate
