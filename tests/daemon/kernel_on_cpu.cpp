// Runs cuda_kernel.cu without a GPU, for its test: each of its threads is a coroutine of this one.
#include <setjmp.h>
#include <ucontext.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>
using std::min;
struct uint4 { unsigned x, y, z, w; };
struct float4 { float x, y, z, w; };
struct Index { int x; };
static Index threadIdx, blockIdx, gridDim;
#define EMULATED
#define __device__
#define __forceinline__ inline
#define SHARED float *shared = here->block->shared.data();

struct Barrier { int arrived = 0, round = 0; };
struct Block { Barrier all, warps[8]; float exchanged[8][32]; std::vector<float> shared; };
struct Thread { ucontext_t context; jmp_buf left; std::vector<char> stack; Block *block; int thread, number; bool begun, over; };
static jmp_buf scheduler;  // contexts begin, jumps go on: they need no system call
static Thread *here;
static void pause() {
  if (!_setjmp(here->left)) _longjmp(scheduler, 1);
}
static void resume(Thread &thread) {
  here = &thread;
  if (_setjmp(scheduler)) return;
  if (thread.begun) _longjmp(thread.left, 1);
  thread.begun = true;
  setcontext(&thread.context);
}
static void meet(Barrier &barrier, int count) {
  const int round = barrier.round;
  if (++barrier.arrived == count) barrier.arrived = 0, barrier.round++;
  while (barrier.round == round) pause();
}
static void __syncthreads() { meet(here->block->all, 256); }
static void __threadfence_system() {}
template <class T> T __shfl_xor_sync(unsigned, T value, int step) {
  Block &block = *here->block;
  const int warp = here->thread / 32, lane = here->thread % 32;
  memcpy(&block.exchanged[warp][lane], &value, 4);
  meet(block.warps[warp], 32);
  memcpy(&value, &block.exchanged[warp][lane ^ step], 4);
  meet(block.warps[warp], 32);
  return value;
}
template <class T> T __ldg(const T *from) { return *from; }
template <class T> T __ldcg(const T *from) { return *from; }
#define __expf expf
static float rsqrtf(float value) { return 1 / sqrtf(value); }
static float __uint_as_float(unsigned bits) { float value; memcpy(&value, &bits, 4); return value; }
static float __int_as_float(int bits) { return __uint_as_float(bits); }
static int __float_as_int(float value) { int bits; memcpy(&bits, &value, 4); return bits; }
static uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static float wide(unsigned short bits) { _Float16 value; memcpy(&value, &bits, 2); return (float)value; }
static unsigned short narrow(float value) { _Float16 rounded = (_Float16)value; unsigned short bits; memcpy(&bits, &rounded, 2); return bits; }
static void arrive(unsigned *arrived) { ++*arrived; }
static unsigned seen(unsigned *arrived) { pause(); return *arrived; }

#include KERNEL

static const Model *model;
static const void *passed;
static int rows;
static void live() {
  if (rows == 1) run<1>(*model, *(const Pass<1> *)passed);
  else run<8>(*model, *(const Pass<8> *)passed);
  here->over = true;
  pause();
}

extern "C" void launch(int kernel_rows, int blocks, int shared_bytes, const void *model_, const void *pass) {
  model = (const Model *)model_, passed = pass, rows = kernel_rows, gridDim.x = blocks;
  std::vector<Block> all(blocks);
  std::vector<Thread> threads(blocks * 256);
  for (auto &block : all) block.shared.assign(shared_bytes / 4, NAN);
  for (int i = 0; i < (int)threads.size(); i++) {
    Thread &thread = threads[i];
    thread.block = &all[i / 256], thread.thread = i % 256, thread.number = i / 256, thread.begun = thread.over = false;
    thread.stack.resize(1 << 16);
    getcontext(&thread.context);
    thread.context.uc_stack = {thread.stack.data(), 0, thread.stack.size()};
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, live, 0);
  }
  for (bool left = true; left;) {
    left = false;
    for (auto &thread : threads)
      if (!thread.over) {
        left = true, threadIdx.x = thread.thread, blockIdx.x = thread.number;
        resume(thread);
      }
  }
}
