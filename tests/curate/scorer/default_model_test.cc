// The scorer that comes with curate tells the kinds of text apart that it is meant to.
#include <gtest/gtest.h>

#include <string>

#include "curate/steps/document.h"
#include "curate/steps/textbook.h"

namespace {

double score(const curate::Textbook& step, const std::string& text) {
  curate::Document document;
  document.reset(text, "id", "source");
  step.apply(document);
  return document.scores().at(0).second;
}

TEST(DefaultModel, ProseScoresAboveListsLogsAndChangelogs) {
  curate::Textbook step;
  step.model = HORNBOOK_SOURCE_DIR "/curate/models/textbook.model";
  step.prepare();
  const std::string lesson =
      "A queue is a line of people waiting for a bus. The person who came first gets on first, and whoever arrives "
      "late "
      "stands at the end. In a program we often want the same order: jobs that were sent to a printer should come out "
      "in "
      "the order in which they were sent. To build a queue we need two operations. The first one, which is usually "
      "called "
      "push, adds an element at the back. The second one, pop, takes the element at the front away and hands it to "
      "us.\n\n"
      "Suppose that we keep the elements in a list. Adding at the end is cheap, but removing the first element means "
      "that "
      "all of the others have to move one place forward, so the cost grows with the length of the queue. A better idea "
      "is "
      "to remember where the front is, and to move that mark instead of the elements.";
  std::string list, log, changelog;
  for (int i = 0; i < 60; ++i) {
    list += "word" + std::to_string(i * 37 % 101) + "\n";
    log += "2024-03-0" + std::to_string(i % 9 + 1) + " 10:22:1" + std::to_string(i % 10) +
           " host sshd[2213]: Failed password for root from 10.0.0." + std::to_string(i) + " port 4242 ssh2\n";
    changelog += "  * src/file" + std::to_string(i) + ".c (parse_line): Fix off-by-one. Closes: #" +
                 std::to_string(4000 + i) + ".\n";
  }
  const double prose = score(step, lesson);
  EXPECT_GT(prose, 0.5);
  EXPECT_LT(score(step, list), prose - 0.3);
  EXPECT_LT(score(step, log), prose - 0.3);
  EXPECT_LT(score(step, changelog), prose - 0.3);
}

}  // namespace
