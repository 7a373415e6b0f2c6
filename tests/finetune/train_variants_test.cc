// Whole runs of every way to train: resumed to the same bytes, read back by every command's loader.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "finetune/kernels/products.h"
#include "finetune/model/load.h"
#include "lora/adapter/fresh.h"
#include "tests/finetune/train_fixture.h"

namespace {

using testing::HasSubstr;

struct Way {
  const char* name;
  std::function<void(TrainOptions&)> set;
};

std::vector<Way> ways() {
  return {
      {"patterns",
       [](TrainOptions& o) {
         o.lora.rank_pattern = {"down_proj=2"};
         o.lora.alpha_pattern = {"q_proj=3"};
         o.lora.dropout_pattern = {"v_proj=0.3"};
         o.lora.exclude_modules = {"k_proj"};
         o.lora.layers_to_transform = {"1"};
       }},
      {"dora", [](TrainOptions& o) { o.lora.dora = true, o.lora.dropout = 0.2; }},
      {"saved",
       [](TrainOptions& o) {
         o.lora.modules_to_save = {"embed_tokens", "norm", "down_proj"};
       }},
      {"tied", [](TrainOptions& o) { o.lora.modules_to_save = {"embed_tokens"}, o.lora.ensure_weight_tying = true; }},
      {"embedding",
       [](TrainOptions& o) {
         o.lora.targets = {"embed_tokens", "lm_head", "v_proj"}, o.lora.dropout = 0.2;
       }},
      {"tokens",
       [](TrainOptions& o) {
         o.lora.trainable_tokens = {"<|endoftext|>", "7"};
       }},
      {"new_tokens",
       [](TrainOptions& o) { o.start.new_tokens = {"say 1"}, o.start.new_special_tokens = {"<|call|>"}; }},
      {"new_tokens_full", [](TrainOptions& o) { o.start.method = "full", o.start.new_tokens = {"say 1"}; }},
      {"plus", [](TrainOptions& o) { o.lora.loraplus_lr_ratio = 16, o.optimizer.update.weight_decay = 0.1; }},
      {"pissa", [](TrainOptions& o) { o.lora.start = "pissa", o.lora.dropout = 0.1; }},
      {"olora", [](TrainOptions& o) { o.lora.start = "olora", o.lora.rslora = true; }},
      {"pissa_dora", [](TrainOptions& o) { o.lora.start = "pissa", o.lora.dora = true; }},
      {"noise", [](TrainOptions& o) { o.optimizer.neftune_noise_alpha = 5; }},
      {"full", [](TrainOptions& o) { o.start.method = "full", o.optimizer.update.weight_decay = 0.1; }},
  };
}

class TrainWays : public Train {
 protected:
  TrainOptions way(const std::string& output, const Way& way) const {
    TrainOptions all = options(output);
    all.intervals.save_every = 2;
    all.intervals.keep_checkpoints = 10;
    way.set(all);
    return all;
  }
  static fs::path result_of(const TrainOptions& options) {
    return fs::path(options.output.folder) / (options.start.trains_all() ? "model" : "adapter");
  }
  static std::string bytes_of(const TrainOptions& options) {
    return base::read_file(result_of(options) /
                           (options.start.trains_all() ? "model.safetensors" : "adapter_model.safetensors"));
  }
};

// What lets the loop take fewer threads beside other programs.
TEST_F(TrainWays, ThreadsDoNotShow) {
  std::vector<Way> alike = {
      {"plain", [](TrainOptions&) {}},
      {"patterns", ways()[0].set},
      {"dropout", [](TrainOptions& o) { o.lora.dropout = 0.2; }},
      {"dora", [](TrainOptions& o) { o.lora.dora = true; }},
      {"dora dropout", [](TrainOptions& o) { o.lora.dora = true, o.lora.dropout = 0.2; }},
      {"nf4 dora dropout",
       [](TrainOptions& o) { o.compute.quantization = "nf4", o.lora.dora = true, o.lora.dropout = 0.2; }},
      {"noise", [](TrainOptions& o) { o.optimizer.neftune_noise_alpha = 5; }},
      {"nf4", [](TrainOptions& o) { o.compute.quantization = "nf4"; }},
      {"int8", [](TrainOptions& o) { o.compute.quantization = "int8"; }},
      {"again", [](TrainOptions& o) { o.compute.gradient_checkpointing = "blocks"; }},
      {"adamw-8bit", [](TrainOptions& o) { o.optimizer.update.optimizer = "adamw-8bit"; }},
      {"lion", [](TrainOptions& o) { o.optimizer.update.optimizer = "lion"; }},
      {"sgd", [](TrainOptions& o) { o.optimizer.update.optimizer = "sgd"; }},
      {"muon", [](TrainOptions& o) { o.optimizer.update.optimizer = "muon", o.lora.rank = 16; }},
      {"clipped", [](TrainOptions& o) { o.optimizer.clip = 1e-4; }},
      {"short", [](TrainOptions& o) { o.plan.rows_per_batch = 1, o.plan.rows.packing = false; }},
  };
  if (finetune::products_hide_threads(at::kBFloat16)) {
    alike.push_back({"bfloat16", [](TrainOptions& o) { o.compute.dtype = "bfloat16"; }});
    alike.push_back({"bfloat16 nf4", [](TrainOptions& o) {
                       o.compute.dtype = "bfloat16", o.compute.quantization = "nf4", o.lora.dropout = 0.2;
                     }});
    alike.push_back({"bfloat16 dora dropout",
                     [](TrainOptions& o) { o.compute.dtype = "bfloat16", o.lora.dora = true, o.lora.dropout = 0.2; }});
  }
  for (const Way& each : alike) {
    std::set<std::string> seen;
    for (const int threads : {1, 2, 3}) {
      TrainOptions all = way(fmt::format("{}_{}", each.name, threads), {"", [](TrainOptions&) {}});
      all.plan.steps = 3, all.plan.rows_per_batch = 8;
      all.compute.threads = threads;
      each.set(all);
      run(all);
      seen.insert(bytes_of(all));
    }
    EXPECT_EQ(seen.size(), 1u) << each.name;
  }
  at::set_num_threads(1);
}

TEST_F(TrainWays, ResumeToTheSameBytes) {
  std::set<std::string> seen;
  for (const Way& each : ways()) {
    const TrainOptions whole = way(each.name, each);
    run(whole);
    EXPECT_TRUE(seen.insert(bytes_of(whole)).second) << each.name << ": the option does something";
    TrainOptions resumed = way(std::string(each.name) + "_resumed", each);
    fs::copy(whole.output.folder, resumed.output.folder, fs::copy_options::recursive);
    fs::remove_all(result_of(resumed));
    for (const char* step : {"step-4", "step-6"})
      fs::remove_all(fs::path(resumed.output.folder) / "checkpoints" / step);
    resumed.output.resume = true;
    EXPECT_THAT(run(resumed), HasSubstr("going on after step 2")) << each.name;
    EXPECT_EQ(bytes_of(resumed), bytes_of(whole)) << each.name;
    // An option left out is named. Each way differs from the plain one in what decides its bytes.
    TrainOptions plain = resumed;
    plain.lora = options("x").lora;
    plain.start.method = "lora";
    plain.optimizer = options("x").optimizer;
    if (std::string(each.name) != "dora") continue;
    EXPECT_THAT(error_of<base::UsageError>(plain), HasSubstr("lora.d"));
  }
}

// On from what PEFT writes of a PiSSA or OLoRA adapter: what was taken out of the base does not train, so the result
// has it as computed from the base alone, and a resumed run too.
class OnFromAStart : public TrainWays, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Targets, OnFromAStart, testing::Values("all-linear", "q_proj embed_tokens"),
                         [](const auto& info) { return info.index == 0 ? "Linear" : "WithAnEmbedding"; });
TEST_P(OnFromAStart, ResumesToTheSameBytes) {
  const Way of_targets{"", [](TrainOptions& options) { options.lora.targets = base::split(GetParam(), ' '); }};
  const TrainOptions first = way("first", of_targets);
  run(first);
  const fs::path config = result_of(first) / "adapter_config.json";
  auto json = nlohmann::json::parse(base::read_file(config));
  for (const char* start : {"pissa", "olora"}) {
    json["init_lora_weights"] = start;
    base::write_file(config, json.dump());
    const auto on = [&](const std::string& output) {
      TrainOptions options = way(output, of_targets);
      options.start.model = first.start.model;
      options.start.adapter = result_of(first).string();
      return options;
    };
    const TrainOptions whole = on(std::string(start) + "_on");
    run(whole);
    const lora::Adapter trained = lora::read_adapter(result_of(whole));
    lora::ModelFiles base(first.start.model);
    const lora::Adapter begun = finetune::load_adapter(result_of(first).string(), base, 1);
    for (std::size_t i = 0; i < begun.modules.size(); ++i) {
      const lora::AdapterModule &before = begun.modules[i], &after = trained.modules[i];
      EXPECT_EQ(before.frozen == 0, before.name == base.spec().embedding);  // of which PEFT takes no start
      if (before.frozen == 0) continue;
      const auto half = static_cast<std::ptrdiff_t>(before.a.size() / 2);
      EXPECT_TRUE(std::equal(before.a.begin() + half, before.a.end(), after.a.begin() + half)) << before.name;
      EXPECT_FALSE(std::equal(before.a.begin(), before.a.begin() + half, after.a.begin())) << before.name;
    }
    TrainOptions resumed = on(std::string(start) + "_resumed");
    fs::copy(whole.output.folder, resumed.output.folder, fs::copy_options::recursive);
    for (const char* step : {"step-4", "step-6"})
      fs::remove_all(fs::path(resumed.output.folder) / "checkpoints" / step);
    resumed.output.resume = true;
    run(resumed);
    EXPECT_EQ(bytes_of(resumed), bytes_of(whole)) << start;
  }
}

TEST_F(TrainWays, EveryOptionIsAFactOfTheRun) {
  const TrainOptions plain = way("plain", {"", [](TrainOptions&) {}});
  run(plain);
  for (const Way& each : ways()) {
    TrainOptions other = way("plain", each);
    other.output.resume = true;
    EXPECT_THAT(error_of<base::UsageError>(other), HasSubstr("--resume would not continue the same run")) << each.name;
  }
}

// What was trained is what the commands read: the last loss is that of the loaded adapter, and lower than at the start.
TEST_F(TrainWays, IsReadBackAsTrained) {
  for (const Way& each : ways()) {
    TrainOptions trained = way(each.name, each);
    trained.plan.steps = 12;
    trained.sources.validation_data = {(model_.path() / "data.jsonl").string()};
    run(trained);
    const auto lines = metrics(trained);
    const double before = lines.front()["validation_loss"], after = lines.back()["validation_loss"];
    EXPECT_LT(after, before) << each.name;
    // Again from the result, without a step: the first validation of a run that goes on from it.
    TrainOptions again = options(std::string(each.name) + "_again");
    again.sources.validation_data = trained.sources.validation_data;
    again.plan.steps = 1;
    if (trained.start.trains_all()) {
      again.start.model = result_of(trained).string();
      EXPECT_TRUE(fs::exists(result_of(trained) / "tokenizer.json"));
    } else {
      again.start.adapter = result_of(trained).string();
    }
    run(again);
    EXPECT_NEAR(metrics(again).front()["validation_loss"].get<double>(), after, 2e-5 * after) << each.name;
  }
}

// The page beside the weights, of a run as the command line starts it: licence of the base, data, and how it went.
TEST_F(TrainWays, AFullRunsModelHasAPageOfItsOwn) {
  base::write_file(model_.path() / "README.md", "---\nlicense: apache-2.0\n---\n# A base\n");
  const TrainOptions full = options("full");
  run_words({(model_.path() / "data.jsonl").string(), "--model", model_.path().string(), "--method", "full", "--steps",
             "3", "--max-length", "64", "--device", "cpu", "--output", full.output.folder});
  const std::string page = base::read_file(fs::path(full.output.folder) / "model/README.md");
  EXPECT_THAT(page, testing::StartsWith("---\nlicense: apache-2.0\nlibrary_name: transformers\n"));
  EXPECT_THAT(page, testing::AllOf(HasSubstr("every weight of it trained, in F32"), HasSubstr("That of the base")));
  const std::vector<nlohmann::json> steps = metrics(full);
  ASSERT_EQ(steps.size(), 3U);
  EXPECT_THAT(page, HasSubstr(fmt::format("- data: data.jsonl\n- steps: 3\n- loss: {:.4f} -> {:.4f}\n",
                                          steps.front()["loss"].get<double>(), steps.back()["loss"].get<double>())));
}

TEST_F(TrainWays, RefusesWhatDoesNotGoTogether) {
  TrainOptions unknown = options("unknown");
  unknown.lora.trainable_tokens = {"<|im_start|>"};
  EXPECT_THAT(error_of<base::UsageError>(unknown), HasSubstr("trainable-tokens"));
  EXPECT_FALSE(fs::exists(unknown.output.folder));
  run(options("first"));
  TrainOptions full = options("full");
  full.start.method = "full";
  run(full);
  TrainOptions from_full = options("from_full");
  from_full.start.adapter = full.output.folder;
  EXPECT_THAT(error_of<base::UsageError>(from_full), HasSubstr("full/model"));
  full.start.adapter = options("first").output.folder;
  EXPECT_THAT(error_of<base::UsageError>(full), HasSubstr("--adapter"));
  const auto error_of_words = [&](std::vector<std::string> words) -> std::string {
    words.insert(words.end(),
                 {(model_.path() / "data.jsonl").string(), "--model", model_.path().string(), "--steps", "1",
                  "--max-length", "64", "--device", "cpu", "--output", (model_.path() / "no").string()});
    try {
      run_words(words);
    } catch (const base::UsageError& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(error_of_words({"--method", "full", "--lora.rank", "4"}), HasSubstr("--lora.rank"));
  EXPECT_THAT(error_of_words({"--adapter", options("first").output.folder, "--lora.start", "pissa"}),
              HasSubstr("--lora.start"));
  EXPECT_THAT(error_of_words({"--adapter", options("first").output.folder, "--lora.dora"}), HasSubstr("--lora.dora"));
}

}  // namespace
