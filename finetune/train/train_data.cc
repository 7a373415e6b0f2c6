// What a training learns from. Tested by tests/finetune/train_data_test.cc and train_start_test.cc.
#include "finetune/train/train_data.h"

#include <fmt/format.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/delimiter.h"
#include "base/error.h"
#include "base/inputs.h"
#include "base/json_values.h"
#include "base/text.h"
#include "finetune/data/data_cache.h"
#include "finetune/data/data_key.h"
#include "finetune/data/findings.h"
#include "finetune/data/pairs.h"
#include "finetune/model/load.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

// The files of the training, and where they are mixed by weight which of the sources each belongs to.
struct Sources {
  std::vector<std::string> files;
  std::vector<std::size_t> part_of_file;
  std::vector<MixturePart> parts;
};

Sources find_sources(const SourceOptions& options, const base::Context& context) {
  Sources sources;
  sources.files = base::expand_inputs(options.data, context);
  if (options.data_weights.empty()) return sources;
  const std::vector<double>& weights = options.data_weights;
  check_weights(weights, options.data.size());
  std::size_t all = 0;
  sources.files.clear();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sources.parts.push_back({options.data[i], weights[i]});
    const std::vector<std::string> files = base::expand_inputs({options.data[i]});
    all += files.size();
    if (weights[i] == 0) continue;
    sources.files.insert(sources.files.end(), files.begin(), files.end());
    sources.part_of_file.resize(sources.files.size(), i);
  }
  if (const std::size_t once = base::expand_inputs(options.data).size(); once != all)
    throw base::UsageError({"a file stands under two weights", "--data", base::join(options.data, ", "),
                            "files that have one", "name it once"});
  return sources;
}

// A template made for other models may write tokens that this one does not have.
void tell_template(const tokenizer::ChatTemplate& chat, base::Context& context) {
  if (context.quiet || chat.missing_tokens().empty()) return;
  fmt::print(context.err, "note: the chat template writes {}, for which the tokenizer has no token: plain characters\n",
             base::join(chat.missing_tokens(), ", "));
}

DataOptions limits_of(const TrainOptions& options, std::uint64_t limit) {
  const RowOptions& rows = options.plan.rows;
  const ReadingOptions& reading = options.reading;
  return {rows.max_length,
          rows.too_long,
          limit,
          reading.max_bad,
          options.compute.threads,
          reading.maker.text,
          !options.preferences.is_on()};
}

void tell(const char* title, const DataReport& report, const DataOptions& options,
          const tokenizer::Tokenizer& tokenizer, const MakerOptions& making, base::Context& context) {
  if (context.quiet) return;
  fmt::print(context.err, "{}: {}\n", title, report.to_text(options));
  for (const std::string& line : findings(report, tokenizer, making)) fmt::print(context.err, "  {}\n", line);
}

void check_ends(const DataReport& report, const DataOptions& options, bool is_allowed) {
  if (report.ends > 0 || is_allowed) return;
  const bool may_split = options.can_split && options.too_long != "split";
  throw base::Error({"no end token is trained in any record: the model would not learn to stop", "--data",
                     fmt::format("{} records, {} longer than --max-length", report.used, report.too_long),
                     "answers or texts with their end",
                     fmt::format("raise --max-length{} where they are cut; choose a --chat-template whose answers end "
                                 "with a token; --allow-no-end trains all the same",
                                 may_split ? " or use --too-long split" : "")});
}

void hold_out(TrainingData& data, const TrainOptions& options, base::Context& context) {
  const std::size_t all = data.training.size();
  data.validation = take_validation(data.training, options.sources.validation_share, options.compute.seed);
  if (!context.quiet)
    fmt::print(context.err, "validation data: {} of {} examples held out, {} left to train on\n",
               base::human_count(data.validation.size()), base::human_count(all),
               base::human_count(data.training.size()));
}

void tell_known(const TrainingData& data, base::Context& context) {
  if (context.quiet || data.validation.empty()) return;
  if (const std::size_t known = count_trained(data.validation, data.training); known > 0)
    fmt::print(context.err,
               "note: {} of {} validation examples stand in the training data too: the validation loss is not of "
               "unseen text\n",
               base::human_count(known), base::human_count(data.validation.size()));
}

void mix(TrainingData& data, const Sources& sources, std::uint64_t seed, base::Context& context) {
  data.mixture = sources.parts;
  data.training = mixed(data.training, sources.part_of_file, seed, data.mixture);
  if (context.quiet) return;
  for (const MixturePart& part : data.mixture)
    fmt::print(context.err, "mixture: {}\n", part.to_text(data.training.size()));
}

// KTO's own advice (Ethayarajh et al. 2024, arXiv:2402.01306, equation 8): what the bad answers weigh in all, the good
// ones weigh too, or up to a third more.
void tell_verdicts(const Examples& examples, const PreferenceOptions& options, base::Context& context) {
  std::size_t bad = 0;
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const ExampleView example = examples[i];
    bad += std::ranges::find(example.trained, kUndesirable) != example.trained.end();
  }
  const std::size_t good{examples.size() - bad};
  if (context.quiet) return;
  fmt::print(context.err, "verdicts: {} good answers, {} bad ones\n", base::human_count(good), base::human_count(bad));
  const double share = options.desirable_weight * static_cast<double>(good) /
                       (options.undesirable_weight * static_cast<double>(std::max<std::size_t>(bad, 1)));
  if (good == 0 || bad == 0) {
    fmt::print(context.err, "warning: all answers have the same verdict, so that there is nothing to tell apart\n");
  } else if (share < 0.99 || share > 1.34) {
    fmt::print(context.err,
               "note: all good answers weigh {:.2g} times what the bad ones weigh; 1 to 1.33 is advised: "
               "--desirable-weight {:.3g}, or --undesirable-weight {:.3g}\n",
               share, options.desirable_weight / share, options.undesirable_weight * share);
  }
}

// Behind each answer stands its prompt with another one's, see with_mismatches.
void add_mismatches(Examples& examples, std::int64_t max_length, const std::string& option) {
  std::vector<Example> copies;
  std::vector<Origin> origins;  // of a pair twice: it becomes two answers
  for (std::size_t i = 0; i < examples.size(); ++i) {
    copies.push_back(copy_of(examples[i]));
    origins.insert(origins.end(), copies.back().second > 0 ? 2 : 1, examples[i].origin);
  }
  if (copies.empty()) return;
  examples = Examples(with_mismatches(copies, static_cast<std::size_t>(max_length), option), origins);
}

}  // namespace

TrainingData read_data(const TrainOptions& options, const lora::ModelFiles& files,
                       const tokenizer::Tokenizer& tokenizer, base::Context& context) {
  const SourceOptions& from = options.sources;
  const ReadingOptions& reading = options.reading;
  const Sources sources = find_sources(from, context);
  const std::vector<std::string> validation_files = base::expand_inputs(from.validation_data, context);
  std::vector<std::string> all_files = sources.files;
  all_files.insert(all_files.end(), validation_files.begin(), validation_files.end());
  all_files.push_back(options.samples.sample_prompts);
  base::tell_unused_delimiter(reading.maker.text.delimiter, all_files, context);
  MakerOptions making = reading.maker;
  making.wanted = options.preferences.wanted();
  const ExampleMaker maker(tokenizer, making);
  if (maker.chat_template() != nullptr) tell_template(*maker.chat_template(), context);
  const std::string tokenizer_name = identity_of(tokenizer, files);
  const DataCache cache(reading.cache, [&](const std::string& what) {
    if (!context.quiet) fmt::print(context.err, "data cache: {}\n", what);
  });
  const auto read = [&](const char* title, const std::vector<std::string>& inputs, std::uint64_t limit) {
    const DataOptions limits = limits_of(options, limit);
    Dataset dataset = cache.read(inputs, maker, limits, tokenizer_name, making);
    tell(title, dataset.report, limits, tokenizer, making, context);
    for (std::size_t i = 0; i < dataset.examples.size(); ++i) check_ids(dataset.examples[i].ids, files.config());
    return dataset;
  };
  Dataset training = read("training data", sources.files, reading.limit);
  check_ends(training.report, limits_of(options, reading.limit), reading.allow_no_end);
  TrainingData data{std::move(training.examples), {}, std::move(training.report), std::nullopt, {}};
  if (!from.validation_data.empty()) {
    Dataset validation = read("validation data", validation_files, reading.validation_limit);
    data.validation = std::move(validation.examples);
    data.validation_report = std::move(validation.report);
  } else if (from.validation_share > 0) {
    hold_out(data, options, context);
  }
  tell_known(data, context);
  if (!sources.parts.empty()) mix(data, sources, options.compute.seed, context);
  if (options.preferences.is_of_verdicts()) {
    add_mismatches(data.training, options.plan.rows.max_length, "--data");
    add_mismatches(data.validation, options.plan.rows.max_length,
                   from.validation_data.empty() ? "--validation-share" : "--validation-data");
    tell_verdicts(data.training, options.preferences, context);
  }
  return data;
}

Json to_json(const TrainingData& data) {
  Json json = {{"training", summary_of(data.training_report)}};
  if (data.validation_report)
    json["validation"] = summary_of(*data.validation_report);
  else if (!data.validation.empty())
    json["held_out"] = data.validation.size();
  for (const MixturePart& part : data.mixture)
    json["mixture"].push_back(
        {{"data", part.name}, {"weight", part.weight}, {"examples", part.available}, {"taken", part.taken}});
  return json;
}

std::string altered_records(const TrainingData& data) {
  std::string lines;
  const auto add = [&](const char* of, const DataReport& report) {
    for (const AlteredRecord& record : report.altered) {
      Json line = {{"data", of},
                   {"file", report.files.at(record.origin.file)},
                   {"line", record.origin.line},
                   {"became", name_of(record.fate)}};
      if (record.origin.record > 1) line["record"] = record.origin.record;  // of its line
      if (!record.why.empty()) line["why"] = record.why;
      lines += base::json_dump(line) + "\n";
    }
  };
  add("training", data.training_report);
  if (data.validation_report) add("validation", *data.validation_report);
  return lines;
}

}  // namespace finetune
