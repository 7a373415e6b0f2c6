// Our fastText reader against the library: the same model, the same texts, one core each.
//   fasttext_benchmark MODEL FILE.jsonl...
#include <fasttext/fasttext.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/records.h"
#include "curate/fasttext.h"
#include "curate/record.h"

namespace {

/// Processor time of this thread: other programs on the machine do not count.
double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

int run(int argc, char** argv) {
  if (argc < 3) throw base::UsageError("usage: fasttext_benchmark MODEL FILE.jsonl...");
  std::vector<std::string> texts;
  std::uint64_t bytes = 0;
  base::BlockReader reader({argv + 2, argv + argc}, {});
  std::vector<base::BadBytes> bad;
  curate::RecordParser parser;
  while (auto block = reader.next(bad)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place&) {
      curate::Record record;
      if (!parser.parse(line, 0, {"text", "id", "", ""}, record).empty()) return;
      texts.emplace_back(record.text);
      std::replace(texts.back().begin(), texts.back().end(), '\n', ' ');
      bytes += texts.back().size();
    });
  }
  fasttext::FastText library;
  library.loadModel(argv[1]);
  curate::FastText model(argv[1]);
  curate::FastText::Scratch scratch;
  std::vector<float> ours;
  double start = now();
  for (const std::string& text : texts) {
    std::span<const float> scores = model.predict(text, scratch);
    ours.insert(ours.end(), scores.begin(), scores.end());
  }
  double our_time = now() - start;
  start = now();
  std::vector<std::pair<fasttext::real, std::string>> predictions;
  double worst = 0, library_time = 0;
  const std::size_t labels = model.labels().size();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    start = now();
    std::istringstream in(texts[i] + "\n");
    library.predictLine(in, predictions, static_cast<int>(labels), 0.0);
    library_time += now() - start;
    for (const auto& [probability, label] : predictions) {
      float our = ours[i * labels + static_cast<std::size_t>(model.label(label))];
      worst = std::max(worst, std::abs(double{our} - probability));
    }
  }
  double megabytes = static_cast<double>(bytes) * 1e-6;
  fmt::print("{} texts, {:.1f} MB: ours {:.1f} MB/s, library {:.1f} MB/s, {:.2f}x; largest difference {:.2g}\n",
             texts.size(), megabytes, megabytes / our_time, megabytes / library_time, library_time / our_time, worst);
  return worst < 1e-6 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
