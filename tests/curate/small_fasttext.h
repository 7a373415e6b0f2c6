// Small fastText models, trained by the library while the test runs.
#pragma once

#include <fasttext/fasttext.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/random.h"

namespace small_fasttext {

inline std::string random_word(base::Random& random) {
  static const std::vector<std::string> parts = {"ba", "to", "n", "der", "é", "и", "漢", "'s", ".", "🙂", "Qu", "-"};
  std::string word;
  for (std::uint64_t i = 0, n = 1 + random.below(4); i < n; ++i) word += parts[random.below(parts.size())];
  return word;
}

inline std::string random_text(base::Random& random, std::uint64_t words) {
  static const std::vector<std::string> blanks = {" ", " ", " ", "  ", "\t", "\r", "\v", "\f"};
  std::string text;
  for (std::uint64_t i = 0; i < words; ++i) text += random_word(random) + blanks[random.below(blanks.size())];
  return text;
}

/// A small model trained by the library; the same for the same arguments.
inline std::filesystem::path train(const std::filesystem::path& folder, const std::string& name,
                                   fasttext::loss_name loss, int maxn, int ngrams, bool quantise, bool qnorm = false,
                                   bool qout = false, std::size_t cutoff = 0, int minn = 1) {
  const std::uint64_t labels = qout ? 300 : 12;  // 256 rows are needed to quantise the output
  std::filesystem::path model = folder / (name + ".bin");
  std::filesystem::path text = folder / (name + ".txt");
  base::Random random(7);
  std::string lines;
  for (std::uint64_t i = 0; i < 500; ++i) {
    std::uint64_t label = i < labels ? i : random.below(labels);
    lines += "__label__" + std::to_string(label) + " w" + std::to_string(label) + " " + random_text(random, 6) + "\n";
  }
  base::write_file(text, lines);
  fasttext::Args args;
  args.input = text.string();
  args.output = (folder / name).string();
  args.model = fasttext::model_name::sup;
  args.loss = loss;
  args.dim = 10;  // not a multiple of the vector width
  args.epoch = qout ? 3 : 20;
  args.lr = 0.5;
  args.minCount = 1;
  args.minn = maxn > 0 ? minn : 0;
  args.maxn = maxn;
  args.wordNgrams = ngrams;
  args.bucket = maxn > 0 || ngrams > 1 ? 3000 : 0;
  args.thread = 1;
  args.verbose = 0;
  fasttext::FastText library;
  library.train(args);
  if (quantise) {
    fasttext::Args quantisation = args;
    quantisation.qnorm = qnorm;
    quantisation.qout = qout;
    quantisation.cutoff = cutoff;
    quantisation.dsub = 3;  // the last part of a row is shorter
    library.quantize(quantisation);
  }
  library.saveModel(model.string());
  return model;
}

}  // namespace small_fasttext
