// The program `finetune`. Tested by tests/cli/readme.py and signals_finetune.py.
#include "base/program.h"
#include "finetune/eval.h"
#include "finetune/kernels/device.h"
#include "finetune/model/generate.h"
#include "finetune/train.h"
#include "finetune/verify.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "finetune";
  program.summary = "LoRA training of LLaMA-family models";
  program.commands = {finetune::train_command(), finetune::eval_command(), finetune::generate_command(),
                      finetune::chat_command(), finetune::verify_command()};
  program.version_details = finetune::libtorch_details;
  return base::run_program(program, argc, argv);
}
