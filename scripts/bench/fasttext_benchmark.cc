// Our fastText reader against the library: the same model, the same texts, one core each, in turns.
//   fasttext_benchmark MODEL FILE.jsonl... [--rounds N]
// MODEL: a .bin or .ftz file, or a kind of dense model that the library trains first on the texts' own sources:
// "characters" (character n-grams of 2 to 4, 16 columns, hierarchical softmax), "pairs" (word pairs, 64 columns,
// softmax).
#include <fasttext/fasttext.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/records.h"
#include "curate/records/record.h"
#include "curate/scorer/fasttext.h"
#include "scripts/bench/clock.h"

namespace {

double now() { return seconds(CLOCK_THREAD_CPUTIME_ID); }

struct Texts {
  std::vector<std::string> texts;    // of one line each
  std::vector<std::string> sources;  // without blanks
  std::uint64_t bytes = 0;
};

Texts read_texts(const std::vector<std::string>& files) {
  Texts result;
  base::BlockReader reader(files, {});
  std::vector<base::BadBytes> bad;
  curate::RecordParser parser;
  while (auto block = reader.next(bad)) {
    base::for_each_line(*block, [&](std::string_view line, const base::Place&) {
      curate::Record record;
      if (!parser.parse(line, 0, {"text", "id", "source", ""}, record).empty()) return;
      std::string text(record.text), source(record.source);
      std::replace(text.begin(), text.end(), '\n', ' ');
      std::replace(source.begin(), source.end(), ' ', '_');
      result.bytes += text.size();
      result.texts.push_back(std::move(text));
      result.sources.push_back(source.empty() ? "none" : std::move(source));
    });
  }
  return result;
}

// Trains on the first 3,000 bytes of every text; returns the model's path in `folder`.
std::string train(const Texts& texts, const std::string& kind, const std::filesystem::path& folder) {
  std::string lines;
  for (std::size_t i = 0; i < texts.texts.size(); ++i)
    lines += "__label__" + texts.sources[i] + " " + texts.texts[i].substr(0, 3000) + "\n";
  base::write_file(folder / "train.txt", lines);
  fasttext::Args args;
  args.model = fasttext::model_name::sup;
  args.minCount = 1;
  args.lr = 0.1;
  args.epoch = args.thread = 1;
  args.verbose = 0;
  args.input = (folder / "train.txt").string();
  args.output = (folder / kind).string();
  args.bucket = 200000;
  const bool characters = kind == "characters";
  args.loss = characters ? fasttext::loss_name::hs : fasttext::loss_name::softmax;
  args.dim = characters ? 16 : 64;
  args.minn = characters ? 2 : 0;
  args.maxn = characters ? 4 : 0;
  args.wordNgrams = characters ? 1 : 2;
  fasttext::FastText library;
  library.train(args);
  library.saveModel(args.output + ".bin");
  return args.output + ".bin";
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

int run(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  std::size_t rounds = 5;
  if (words.size() > 2 && words[words.size() - 2] == "--rounds") {
    rounds = std::max<std::size_t>(1, std::stoul(words.back()));
    words.resize(words.size() - 2);
  }
  if (words.size() < 2) throw base::UsageError("usage: fasttext_benchmark MODEL FILE.jsonl... [--rounds N]");
  const Texts texts = read_texts({words.begin() + 1, words.end()});
  if (texts.texts.empty()) throw base::UsageError("no record with a \"text\" could be read");
  std::string path = words[0];
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("fasttext_benchmark." + std::to_string(getpid()));
  if (path == "characters" || path == "pairs") {
    std::filesystem::create_directory(folder);
    path = train(texts, path, folder);
  }
  fasttext::FastText library;
  library.loadModel(path);
  const curate::FastText model(path);
  std::filesystem::remove_all(folder);

  const std::size_t labels = model.labels().size();
  std::vector<double> our_times, library_times, ratios;
  double worst = 0;
  for (std::size_t round = 0; round < rounds; ++round) {
    curate::FastText::Scratch scratch;  // nothing is remembered from the round before
    std::vector<float> ours;
    double start = now();
    for (const std::string& text : texts.texts) {
      std::span<const float> scores = model.predict(text, scratch);
      ours.insert(ours.end(), scores.begin(), scores.end());
    }
    our_times.push_back(now() - start);
    std::vector<std::pair<fasttext::real, std::string>> predictions;
    double library_time = 0;
    for (std::size_t i = 0; i < texts.texts.size(); ++i) {
      start = now();
      std::istringstream in(texts.texts[i] + "\n");
      library.predictLine(in, predictions, static_cast<int>(labels), 0.0);
      library_time += now() - start;
      for (const auto& [probability, label] : predictions) {
        float our = ours[i * labels + static_cast<std::size_t>(model.label(label))];
        worst = std::max(worst, std::abs(double{our} - probability));
      }
    }
    library_times.push_back(library_time);
    ratios.push_back(library_time / our_times.back());
  }
  const double megabytes = static_cast<double>(texts.bytes) * 1e-6;
  const auto [least, most] = std::minmax_element(ratios.begin(), ratios.end());
  fmt::print(
      "{} texts, {:.1f} MB, {} labels, {} rounds: ours {:.1f} MB/s, library {:.1f} MB/s, {:.2f}x ({:.2f}-{:.2f}); "
      "largest difference {:.2g}\n",
      texts.texts.size(), megabytes, labels, rounds, megabytes / median(our_times), megabytes / median(library_times),
      median(ratios), *least, *most, worst);
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
