// Every config file of finetune is read without complaint, and what it becomes is read back.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "base/file.h"
#include "finetune/train/train_options.h"

namespace {

namespace fs = std::filesystem;

TEST(FinetuneConfigs, EveryOneIsRead) {
  std::set<std::string> objectives;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(HORNBOOK_SOURCE_DIR "/configs")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("finetune-")) continue;
    ++count;
    finetune::TrainOptions options, again;
    base::OptionSet set(options), set_again(again);
    set.read_yaml(base::read_file(entry.path()), entry.path().string());
    EXPECT_FALSE(options.start.model.empty() || options.sources.data.empty() || options.output.folder.empty()) << name;
    objectives.insert(options.preferences.objective);
    set_again.read_yaml(set.to_yaml(), "run.yaml");
    EXPECT_EQ(set_again.to_yaml(), set.to_yaml()) << name;
  }
  EXPECT_GE(count, 9);
  EXPECT_EQ(objectives, (std::set<std::string>{"answers", "dpo", "kto", "orpo", "simpo"}));
}

TEST(FinetuneConfigs, AMisspeltOptionIsRefused) {
  finetune::TrainOptions options;
  base::OptionSet set(options);
  EXPECT_THROW(set.read_yaml("model: a\nobjectiv: dpo\n", "x.yaml"), base::Error);
}

}  // namespace
