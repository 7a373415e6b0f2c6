// What frozen matrices promise, and that matrices of a file are joined in order.
#include <gtest/gtest.h>

#include "finetune/weights/load_weights.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using tiny_llama::relative;

TEST(FrozenMatrix, DenseAppliesAddsAndPicksRows) {
  at::manual_seed(3);
  const at::Tensor w = at::randn({5, 8}), x = at::randn({7, 8}), row = at::randn({5}), all = at::randn({7, 5});
  const finetune::DenseMatrix matrix(w);
  EXPECT_LT(relative(matrix.apply(x), x.matmul(w.t())), 1e-6);
  EXPECT_LT(relative(matrix.apply(x, row), x.matmul(w.t()) + row), 1e-6);
  EXPECT_LT(relative(matrix.apply(x, all), x.matmul(w.t()) + all), 1e-6);
  EXPECT_LT(relative(matrix.apply_transposed(all), all.matmul(w)), 1e-6);
  at::Tensor columns = at::zeros({7, 6}), some = columns.narrow(1, 2, 3), dx = at::empty({7, 8});
  matrix.apply_rows(some, x, 1);
  EXPECT_LT(relative(some, x.matmul(w.narrow(0, 1, 3).t())), 1e-6);
  EXPECT_TRUE(at::equal(columns.narrow(1, 0, 2), at::zeros({7, 2})) && at::equal(columns[0][5], at::zeros({})));
  matrix.apply_rows_transposed(dx, some.contiguous(), 1);
  EXPECT_LT(relative(dx, some.matmul(w.narrow(0, 1, 3))), 1e-6);
  const at::Tensor numbers = at::tensor(std::vector<std::int64_t>{4, 0, 4});
  EXPECT_TRUE(at::equal(matrix.rows(numbers), at::stack({w[4], w[0], w[4]})));
}

TEST(FrozenMatrix, MatricesOfAFileAreJoinedInOrder) {
  const lora::ModelFiles files(tiny_llama::folder("tied").string());
  const at::TensorOptions options = at::TensorOptions(at::kFloat);
  const std::string q = "model.layers.1.self_attn.q_proj.weight", k = "model.layers.1.self_attn.k_proj.weight";
  const at::Tensor joined = finetune::load_matrix(files, {q, k}, options)->apply(at::eye(64)).t();  // W itself
  EXPECT_TRUE(
      at::equal(joined, at::cat({finetune::load_tensor(files, q, options), finetune::load_tensor(files, k, options)})));
}

// Saved in float32 a model of 16 bits is what its own file is: to the bit, products of AMX too.
TEST(FrozenMatrix, Float32OfNumbersOf16BitsIsThatOf16Bits) {
  const lora::ModelFiles narrow(tiny_llama::folder("untied").string());
  const tiny_llama::Changed changed("untied", [](const std::string&, at::Tensor&) {});
  const lora::ModelFiles wide(changed.path().string());
  ASSERT_NE(wide.type("lm_head.weight"), narrow.type("lm_head.weight"));
  at::manual_seed(4);
  const at::TensorOptions options = at::TensorOptions(at::kFloat);
  for (const char* name : {"lm_head.weight", "model.embed_tokens.weight", "model.layers.0.mlp.down_proj.weight"}) {
    const at::Tensor x = at::randn({9, wide.shape(name)[1]}), dy = at::randn({9, wide.shape(name)[0]});
    const auto of_wide = finetune::load_matrix(wide, {name}, options),
               of_narrow = finetune::load_matrix(narrow, {name}, options);
    EXPECT_TRUE(at::equal(of_wide->apply(x), of_narrow->apply(x))) << name;
    EXPECT_TRUE(at::equal(of_wide->apply_transposed(dy), of_narrow->apply_transposed(dy))) << name;
    EXPECT_EQ(of_wide->rows_from(0, 2).scalar_type(), at::kFloat);
    EXPECT_NE(of_wide->rows_from(0, 2).const_data_ptr(), of_wide->rows_from(0, 2).const_data_ptr()) << "kept wide";
  }
}

}  // namespace
