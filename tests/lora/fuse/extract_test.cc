// Adapters out of models that adapters were merged into.
#include "lora/fuse/extract.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <Eigen/SVD>

#include "tests/error_of.h"
#include "tests/lora/fuse/changes.h"
#include "tests/lora/written_model.h"
#include "tests/temporary_folder.h"

namespace {

using Eigen::MatrixXd;
using lora::Adapter;
using lora::AdapterModule;
using lora::Extracted;
using lora::ModelFiles;
using lora_tests::change_of;
using lora_tests::relative;
using lora_tests::whole;
using lora_tests::write_merged;
using testing::HasSubstr;

const std::string kGolden = HORNBOOK_SOURCE_DIR "/tests/golden/";

TEST(Extract, GivesTheAdapterBackThatWasMerged) {
  const ModelFiles base(kGolden + "lora/base");
  const TemporaryFolder temporary;
  for (const char* name : {"plain", "rslora", "pattern"}) {
    const Adapter adapter = lora::read_adapter(kGolden + "lora/" + name);
    write_merged(base, &adapter, temporary.path() / name);
    const ModelFiles tuned((temporary.path() / name).string());
    const Extracted result = lora::extracted(base, tuned, {6, false, 2});
    ASSERT_EQ(result.adapter.modules.size(), adapter.modules.size());
    EXPECT_EQ(result.equal, 14 - static_cast<std::int64_t>(adapter.modules.size()));
    EXPECT_TRUE(result.rest.empty());
    EXPECT_TRUE(result.same_config);
    for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
      EXPECT_EQ(result.adapter.modules[i].name, adapter.modules[i].name);
      EXPECT_LT(relative(change_of(result.adapter.modules[i]), change_of(adapter.modules[i])), 2e-6);
      EXPECT_LT(result.modules[i].squared_error, 1e-11 * result.modules[i].squared_norm);
    }
  }
}

TEST(Extract, ALowerRankIsTheBestOfThatRank) {
  const ModelFiles base(kGolden + "lora/base");
  const TemporaryFolder temporary;
  const Adapter adapter = lora::read_adapter(kGolden + "lora/plain");
  write_merged(base, &adapter, temporary.path() / "tuned");
  const Extracted result = lora::extracted(base, ModelFiles(temporary / "tuned"), {2, false, 1});
  for (std::size_t i = 0; i < adapter.modules.size(); ++i) {
    const MatrixXd change = change_of(adapter.modules[i]);
    const Eigen::JacobiSVD<MatrixXd> svd(change);
    const double best{svd.singularValues().tail(svd.singularValues().size() - 2).norm()};
    EXPECT_NEAR((change_of(result.adapter.modules[i]) - change).norm(), best, 1e-5 * change.norm());
    EXPECT_NEAR(std::sqrt(result.modules[i].squared_error), best, 1e-5 * change.norm());
  }
}

// Norms, embedding and head that an adapter trained whole: counted, or kept so that the merge is the tuned model.
TEST(Extract, WhatAAndBCannotHoldIsToldOrKept) {
  const ModelFiles base(kGolden + "finetune/tiny_llama/untied");
  const TemporaryFolder temporary;
  const Adapter adapter = lora::read_adapter(kGolden + "finetune/variants/saved");
  write_merged(base, &adapter, temporary.path() / "tuned");
  const ModelFiles tuned(temporary / "tuned");
  const Extracted told = lora::extracted(base, tuned, {32, false, 1});
  EXPECT_TRUE(told.adapter.saved.empty());
  std::vector<std::string> names;
  for (const lora::RestTensor& rest : told.rest) {
    names.push_back(rest.name);
    EXPECT_FALSE(rest.is_saved);
    EXPECT_GT(rest.share, 0);
  }
  EXPECT_EQ(names.size(), 7U);  // five norms, the embedding, the head
  EXPECT_THAT(names, testing::IsSupersetOf({"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"}));
  const Extracted kept = lora::extracted(base, tuned, {64, true, 1});
  EXPECT_EQ(kept.adapter.saved.size(), 7U);
  lora::write_adapter(kept.adapter, temporary.path() / "adapter");
  const Adapter read = lora::read_adapter(temporary.path() / "adapter");
  write_merged(base, &read, temporary.path() / "again");
  const ModelFiles again(temporary / "again");
  for (const std::string& name : base.names()) {
    const std::vector<float> left = whole(again, name), right = whole(tuned, name);
    for (std::size_t i = 0; i < left.size(); ++i) ASSERT_NEAR(left[i], right[i], 2e-6) << name;
  }
}

TEST(Extract, BiasesBesideAAndBAreToldAndNotKept) {
  const ModelFiles base(kGolden + "finetune/tiny_llama/bias");
  const TemporaryFolder temporary;
  const Adapter adapter = lora::read_adapter(kGolden + "finetune/variants/saved_linear");
  write_merged(base, &adapter, temporary.path() / "tuned");
  const Extracted result = lora::extracted(base, ModelFiles(temporary / "tuned"), {8, true, 1});
  EXPECT_FALSE(result.rest.empty());
  for (const lora::RestTensor& rest : result.rest) {
    EXPECT_TRUE(rest.name.ends_with("k_proj.bias") || rest.name.ends_with("down_proj.bias")) << rest.name;
    EXPECT_FALSE(rest.is_saved);
  }
  EXPECT_TRUE(result.adapter.saved.empty());
}

TEST(Extract, WhatIsNoPairOfModelsIsRefused) {
  const ModelFiles base(kGolden + "lora/base"), other(kGolden + "finetune/tiny_llama/untied");
  EXPECT_THAT(error_of([&] { lora::extracted(base, base, {}); }), HasSubstr("the two models are equal"));
  EXPECT_THAT(error_of([&] { lora::extracted(base, other, {}); }), HasSubstr("tuned"));
}

}  // namespace
