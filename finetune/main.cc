#include "base/program.h"
#include "finetune/train.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "finetune";
  program.summary = "LoRA training of LLaMA-family models";
  program.commands = {finetune::train_command()};
  return base::run_program(program, argc, argv);
}
