// A pass of few tokens through a whole decoder in one launch: what a step of some 150 kernels spends
// on starting each of them is saved. Compiled when a model is loaded (cuda_kernel.py says with which
// sizes); the weights are read as weights.bin holds them, blocks of 32 in 4 bits with a scale each.
//
// Every block of threads takes its share of each product and waits for the others before the next
// one, so all must be resident: the launch is a cooperative one. Rounds to float16 where the graph
// (cuda-step.onnx) does, so that both say the same.
//
// Sizes: HIDDEN, HEADS, KV_HEADS, MLP, VOCABULARY, LAYERS; EPSILON is the norms'.

#define HEAD 64  // elements of an attention head
#define BLOCK 32  // weights with one scale
#define STRIDE 36  // floats from one block of activations to the next: no two lanes meet in a bank
#define WARPS 8
#define THREADS (32 * WARPS)
#define ALL_LANES 0xffffffffu
#define GROUP (HEADS / KV_HEADS)
#define ATTENDED (HEADS * HEAD)
#define PART (HEAD + 2)  // what one split of a head's past comes to: values, highest score, sum
#define MOST_SPLITS 13  // of one row's past
#define SPLIT 64  // tokens of a split at least
#define WIDER (MLP > HIDDEN ? MLP : HIDDEN)
#define WIDEST (WIDER > ATTENDED ? WIDER : ATTENDED)
#define NEVER -1e30f

typedef unsigned short half;  // its bits
struct Blocks { const uint4 *packed; const half *scales; };  // (N, K/32) of 32 weights each
struct Layer { const float *norm; Blocks qkv, out; const float *second_norm; Blocks gate_up, down; half *keys, *values; };
struct Model {
  const unsigned char *embedding; const half *embedding_scales; const float *cos, *sin; Layer layers[LAYERS];
  const float *norm; Blocks head; const unsigned char *allowed; float *logits, *told, *scratch; unsigned *arrived;
};
struct Row { int token, place; long long lane; };  // lane: elements before its keys
template <int R> struct Pass { int capacity, count; unsigned arrivals; Row rows[R]; };

#ifndef EMULATED
#define SHARED extern __shared__ __align__(16) float shared[];
__device__ __forceinline__ float wide(half bits) {
  float value;
  asm("{.reg .b16 h; mov.b16 h, %1; cvt.f32.f16 %0, h;}" : "=f"(value) : "h"(bits));
  return value;
}
__device__ __forceinline__ half narrow(float value) {
  half bits;
  asm("{.reg .b16 h; cvt.rn.f16.f32 h, %1; mov.b16 %0, h;}" : "=h"(bits) : "f"(value));
  return bits;
}
__device__ __forceinline__ void arrive(unsigned *arrived) {
  asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(arrived) : "memory");
}
__device__ __forceinline__ unsigned seen(unsigned *arrived) {
  unsigned count;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(count) : "l"(arrived) : "memory");
  return count;
}
#endif

__device__ __forceinline__ float rounded(float value) { return wide(narrow(value)); }

__device__ __forceinline__ float over_warp(float value) {
#pragma unroll
  for (int step = 16; step; step >>= 1) value += __shfl_xor_sync(ALL_LANES, value, step);
  return value;
}

// What every block wrote before is there for all of them afterwards.
__device__ __forceinline__ void wait_for_all(unsigned *arrived, unsigned &awaited) {
  __syncthreads();
  if (threadIdx.x == 0) {
    awaited += gridDim.x;
    arrive(arrived);
    while ((int)(seen(arrived) - awaited) < 0) {}
  }
  __syncthreads();
}

__device__ __forceinline__ int in_shared(int element) { return element / BLOCK * STRIDE + element % BLOCK; }

// N rows of a product's weights, K long, as the lanes of a warp hold them: lane i blocks i, i + 32, …
template <int N, int K> struct Weights {
  static const int BLOCKS = K / BLOCK, EACH = (BLOCKS + 31) / 32;
  uint4 packed[N][EACH];
  float scales[N][EACH];

  __device__ __forceinline__ void fetch(Blocks from, int first, int apart, int rows) {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int i = 0; i < EACH; i++) {
        const int row = first + n * apart, block = lane + 32 * i;
        packed[n][i] = make_uint4(0, 0, 0, 0), scales[n][i] = 0;
        if (row < rows && block < BLOCKS) {
          packed[n][i] = __ldg(from.packed + (long long)row * BLOCKS + block);
          scales[n][i] = wide(from.scales[(long long)row * BLOCKS + block]);
        }
      }
  }

  // Times R rows of activations in shared memory, each `apart` from the next; all lanes get the sums.
  template <int R> __device__ __forceinline__ void times(const float *x, int apart, float (&sums)[N][R]) const {
    const int lane = threadIdx.x & 31;
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int r = 0; r < R; r++) sums[n][r] = 0;
#pragma unroll
    for (int i = 0; i < EACH; i++) {
      if (lane + 32 * i >= BLOCKS) continue;
      float parts[N][R];
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int r = 0; r < R; r++) parts[n][r] = 0;
#pragma unroll
      for (int word = 0; word < 4; word++) {
        float w[N][8];
#pragma unroll
        for (int n = 0; n < N; n++) {
          const unsigned bits = word == 0 ? packed[n][i].x : word == 1 ? packed[n][i].y : word == 2 ? packed[n][i].z : packed[n][i].w;
#pragma unroll
          for (int j = 0; j < 8; j++)  // 2^23 + q as bits, less 2^23 + 8
            w[n][j] = __uint_as_float(0x4B000000u | ((bits >> (4 * j)) & 15u)) - 8388616.0f;
        }
#pragma unroll
        for (int r = 0; r < R; r++) {
          const float4 *at = (const float4 *)(x + r * apart + (lane + 32 * i) * STRIDE + word * 8);
          const float4 a = at[0], b = at[1];
#pragma unroll
          for (int n = 0; n < N; n++) {
            float part = parts[n][r];
            part = fmaf(w[n][0], a.x, part), part = fmaf(w[n][1], a.y, part);
            part = fmaf(w[n][2], a.z, part), part = fmaf(w[n][3], a.w, part);
            part = fmaf(w[n][4], b.x, part), part = fmaf(w[n][5], b.y, part);
            part = fmaf(w[n][6], b.z, part), part = fmaf(w[n][7], b.w, part);
            parts[n][r] = part;
          }
        }
      }
#pragma unroll
      for (int n = 0; n < N; n++)
#pragma unroll
        for (int r = 0; r < R; r++) sums[n][r] = fmaf(parts[n][r], scales[n][i], sums[n][r]);
    }
#pragma unroll
    for (int n = 0; n < N; n++)
#pragma unroll
      for (int r = 0; r < R; r++) sums[n][r] = over_warp(sums[n][r]);
  }
};

// The value of one's own row, for the lanes 0 … R-1.
template <int R> __device__ __forceinline__ float own(const float (&sums)[R]) {
  const int lane = threadIdx.x & 31;
  float value = sums[0];
#pragma unroll
  for (int r = 1; r < R; r++) value = lane == r ? sums[r] : value;
  return value;
}

// RMS norm of R rows into shared memory, a warp each.
template <int R> __device__ __forceinline__ void norm(const float *x, const float *weight, float *into, int apart) {
  const int row = threadIdx.x >> 5, lane = threadIdx.x & 31;
  if (row < R) {
    float values[(HIDDEN + 31) / 32], scales[(HIDDEN + 31) / 32], sum = 0;
#pragma unroll
    for (int i = 0; i < (HIDDEN + 31) / 32; i++) {
      const int at = lane + 32 * i;
      values[i] = at < HIDDEN ? __ldcg(x + row * HIDDEN + at) : 0;
      scales[i] = at < HIDDEN ? rounded(__ldg(weight + at)) : 0;
      sum = fmaf(values[i], values[i], sum);
    }
    const float scale = rsqrtf(over_warp(sum) / HIDDEN + EPSILON);
#pragma unroll
    for (int i = 0; i < (HIDDEN + 31) / 32; i++)
      if (lane + 32 * i < HIDDEN) into[row * apart + in_shared(lane + 32 * i)] = rounded(values[i] * scale * scales[i]);
  }
  __syncthreads();
}

// Two shares of a softmax put together: highest score and sum.
__device__ __forceinline__ void join(float &top, float &sum, float other_top, float other_sum, float &keep, float &take) {
  const float higher = fmaxf(top, other_top);
  keep = __expf(top - higher), take = __expf(other_top - higher);
  sum = sum * keep + other_sum * take, top = higher;
}

// One split of one head's past, by a block of threads: 8 lanes share a token, a warp takes 4 at once.
__device__ __forceinline__ void attend(
    const float *query, const half *keys, const half *values, int begin, int end, float *merge, float *to) {
  const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31, first = (lane & 7) * 8;
  float q[8], found[8], top = NEVER, sum = 0, keep, take;
#pragma unroll
  for (int j = 0; j < 8; j++) q[j] = __ldcg(query + first + j), found[j] = 0;
  for (int base = begin + warp * 4; base < end; base += WARPS * 4) {
    const int token = base + (lane >> 3);
    const bool real = token < end;
    const long long at = (long long)(real ? token : begin) * HEAD + first;
    const uint4 key = __ldcg((const uint4 *)(keys + at)), value = __ldcg((const uint4 *)(values + at));
    const unsigned k[4] = {key.x, key.y, key.z, key.w}, v[4] = {value.x, value.y, value.z, value.w};
    float score = 0;
#pragma unroll
    for (int j = 0; j < 4; j++)
      score = fmaf(wide(k[j] & 0xffff), q[2 * j], fmaf(wide(k[j] >> 16), q[2 * j + 1], score));
#pragma unroll
    for (int step = 1; step < 8; step <<= 1) score += __shfl_xor_sync(ALL_LANES, score, step);
    join(top, sum, real ? score * 0.125f : NEVER, real ? 1.0f : 0.0f, keep, take);  // 0.125: 1 / sqrt(HEAD)
    if (!real) take = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      found[2 * j] = fmaf(take, wide(v[j] & 0xffff), found[2 * j] * keep);
      found[2 * j + 1] = fmaf(take, wide(v[j] >> 16), found[2 * j + 1] * keep);
    }
  }
#pragma unroll
  for (int step = 8; step <= 16; step <<= 1) {
    join(top, sum, __shfl_xor_sync(ALL_LANES, top, step), __shfl_xor_sync(ALL_LANES, sum, step), keep, take);
#pragma unroll
    for (int j = 0; j < 8; j++) {
      const float other = __shfl_xor_sync(ALL_LANES, found[j], step);
      found[j] = found[j] * keep + other * take;
    }
  }
  float *mine = merge + warp * PART;
  if (lane < 8) {
#pragma unroll
    for (int j = 0; j < 8; j++) mine[first + j] = found[j];
    if (lane == 0) mine[HEAD] = top, mine[HEAD + 1] = sum;
  }
  __syncthreads();
  if (tid < HEAD) {
    top = NEVER, sum = 0;
    float total = 0;
#pragma unroll
    for (int i = 0; i < WARPS; i++) top = fmaxf(top, merge[i * PART + HEAD]);
#pragma unroll
    for (int i = 0; i < WARPS; i++) {
      const float share = __expf(merge[i * PART + HEAD] - top);
      sum += share * merge[i * PART + HEAD + 1], total += share * merge[i * PART + tid];
    }
    to[tid] = total;
    if (tid == 0) to[HEAD] = top, to[HEAD + 1] = sum;
  }
  __syncthreads();
}

__device__ __forceinline__ int splits_of(int past, int most) { return min(most, (past + SPLIT - 1) / SPLIT); }

// The token most probable among a row's, where two shares of the vocabulary are put together.
struct Best { float top, sum; int token; };
__device__ __forceinline__ void better(Best &one, Best other) {
  float keep, take;
  if (other.top > one.top || (other.top == one.top && other.token < one.token)) one.token = other.token;
  join(one.top, one.sum, other.top, other.sum, keep, take);
}

template <int R> __device__ __forceinline__ void run(const Model &model, const Pass<R> &pass) {
  const int SPLITS = R == 1 ? MOST_SPLITS : 1;  // many rows are work enough without
  const int apart = WIDEST / BLOCK * STRIDE;
  SHARED
  float *x_here = shared, *merge = shared + R * apart, *shares = merge + WARPS * PART;
  const int tid = threadIdx.x, warp = tid >> 5, lane = tid & 31;
  const int worker = warp * gridDim.x + blockIdx.x, workers = WARPS * gridDim.x;
  float *x = model.scratch, *queries = x + R * HIDDEN, *hidden = queries + R * ATTENDED;
  float *parts = hidden + R * MLP, *bests = parts + R * HEADS * SPLITS * PART;
  unsigned awaited = pass.arrivals;
  const int row = min(lane, R - 1), place = pass.rows[row].place;  // whose results a lane writes

  const int pairs = (HEADS + 2 * KV_HEADS) * HEAD / 2;  // elements that are turned together
  Weights<2, HIDDEN> two;
  two.fetch(model.layers[0].qkv, worker / 32 * HEAD + worker % 32, HEAD / 2, 2 * pairs);
  for (int i = blockIdx.x * THREADS + tid; i < R * HIDDEN; i += gridDim.x * THREADS) {
    const int element = i % HIDDEN;
    const long long token = pass.rows[i / HIDDEN].token;
    const int byte = model.embedding[token * (HIDDEN / 2) + element / 2], step = element & 1 ? byte >> 4 : byte & 15;
    x[i] = rounded((step - 8) * wide(model.embedding_scales[token * (HIDDEN / BLOCK) + element / BLOCK]));
  }
  wait_for_all(model.arrived, awaited);

  for (int l = 0; l < LAYERS; l++) {
    const Layer &layer = model.layers[l];
    norm<R>(x, layer.norm, x_here, apart);
    for (int pair = worker; pair < pairs; pair += workers) {
      float sums[2][R];
      if (pair != worker) two.fetch(layer.qkv, pair / 32 * HEAD + pair % 32, HEAD / 2, 2 * pairs);
      two.times(x_here, apart, sums);
      const int head = pair / 32, i = pair % 32;
      float a = rounded(own<R>(sums[0])), b = rounded(own<R>(sums[1]));
      if (lane < R) {
        if (head < HEADS + KV_HEADS) {
          const float cos = rounded(model.cos[place * 32 + i]), sin = rounded(model.sin[place * 32 + i]), before = a;
          a = rounded(before * cos - b * sin), b = rounded(b * cos + before * sin);
        }
        if (head < HEADS) {
          queries[row * ATTENDED + head * HEAD + i] = a, queries[row * ATTENDED + head * HEAD + i + 32] = b;
        } else if (row < pass.count) {
          const int kv = (head - HEADS) % KV_HEADS;
          half *to = (head < HEADS + KV_HEADS ? layer.keys : layer.values) + pass.rows[row].lane;
          to += ((long long)kv * pass.capacity + place) * HEAD + i;
          to[0] = narrow(a), to[32] = narrow(b);
        }
      }
    }
    Weights<1, ATTENDED> out;
    out.fetch(layer.out, worker, 0, HIDDEN);
    wait_for_all(model.arrived, awaited);

    for (int item = blockIdx.x; item < pass.count * HEADS * SPLITS; item += gridDim.x) {
      const int r = item / (HEADS * SPLITS), head = item % HEADS, split = item / HEADS % SPLITS;
      const int past = pass.rows[r].place + 1, splits = splits_of(past, SPLITS), each = (past + splits - 1) / splits;
      if (split >= splits) continue;
      const long long kv = pass.rows[r].lane + (long long)(head / GROUP) * pass.capacity * HEAD;
      attend(queries + r * ATTENDED + head * HEAD, layer.keys + kv, layer.values + kv, split * each,
             min(past, split * each + each), merge, parts + ((r * HEADS + head) * SPLITS + split) * PART);
    }
    wait_for_all(model.arrived, awaited);

    for (int i = tid; i < R * HEADS; i += THREADS) {
      const int splits = splits_of(pass.rows[i / HEADS].place + 1, SPLITS);
      const float *from = parts + i * SPLITS * PART;
      float tops[SPLITS], sums[SPLITS], top = NEVER, sum = 0;
#pragma unroll
      for (int s = 0; s < SPLITS; s++) {
        tops[s] = s < splits ? __ldcg(from + s * PART + HEAD) : NEVER, sums[s] = s < splits ? __ldcg(from + s * PART + HEAD + 1) : 0;
        top = fmaxf(top, tops[s]);
      }
#pragma unroll
      for (int s = 0; s < SPLITS; s++) tops[s] = __expf(tops[s] - top), sum += tops[s] * sums[s];
#pragma unroll
      for (int s = 0; s < SPLITS; s++) shares[i * SPLITS + s] = tops[s] / sum;
    }
    const int TURNS = (R * ATTENDED + THREADS - 1) / THREADS;
    float found[TURNS][SPLITS];
#pragma unroll
    for (int i = 0; i < TURNS; i++) {
      const int at = tid + i * THREADS;
#pragma unroll
      for (int s = 0; s < SPLITS; s++)
        found[i][s] = at < R * ATTENDED && s < splits_of(pass.rows[min(at / ATTENDED, R - 1)].place + 1, SPLITS)
                          ? __ldcg(parts + (at / HEAD * SPLITS + s) * PART + at % HEAD) : 0;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < TURNS; i++) {
      const int at = tid + i * THREADS;
      float value = 0;
      if (at < R * ATTENDED) {
#pragma unroll
        for (int s = 0; s < SPLITS; s++) value = fmaf(shares[at / HEAD * SPLITS + s], found[i][s], value);
        x_here[at / ATTENDED * apart + in_shared(at % ATTENDED)] = rounded(value);
      }
    }
    __syncthreads();
    for (int n = worker; n < HIDDEN; n += workers) {
      float sums[1][R];
      if (n != worker) out.fetch(layer.out, n, 0, HIDDEN);
      out.times(x_here, apart, sums);
      const float sum = rounded(own<R>(sums[0]));
      if (lane < R) x[row * HIDDEN + n] = rounded(__ldcg(x + row * HIDDEN + n) + sum);
    }
    Weights<2, HIDDEN> next;
    two.fetch(layer.gate_up, worker, MLP, worker < MLP ? 2 * MLP : 0);
    next.fetch(layer.gate_up, worker + workers, MLP, worker + workers < MLP ? 2 * MLP : 0);
    wait_for_all(model.arrived, awaited);

    norm<R>(x, layer.second_norm, x_here, apart);
    for (int n = worker; n < MLP; n += workers) {
      float sums[2][R];
      two.times(x_here, apart, sums);
      two = next;
      if (n + 2 * workers < MLP) next.fetch(layer.gate_up, n + 2 * workers, MLP, 2 * MLP);
      const float gate = rounded(own<R>(sums[0])), up = rounded(own<R>(sums[1]));
      if (lane < R) hidden[row * MLP + n] = rounded(rounded(gate / (1 + __expf(-gate))) * up);
    }
    Weights<1, MLP> down;
    down.fetch(layer.down, worker, 0, HIDDEN);
    wait_for_all(model.arrived, awaited);

    for (int i = tid; i < R * MLP; i += THREADS) x_here[i / MLP * apart + in_shared(i % MLP)] = __ldcg(hidden + i);
    __syncthreads();
    for (int n = worker; n < HIDDEN; n += workers) {
      float sums[1][R];
      if (n != worker) down.fetch(layer.down, n, 0, HIDDEN);
      down.times(x_here, apart, sums);
      const float sum = rounded(own<R>(sums[0]));
      if (lane < R) x[row * HIDDEN + n] = rounded(__ldcg(x + row * HIDDEN + n) + sum);
    }
    if (l + 1 < LAYERS) two.fetch(model.layers[l + 1].qkv, worker / 32 * HEAD + worker % 32, HEAD / 2, 2 * pairs);
    wait_for_all(model.arrived, awaited);
  }

  norm<R>(x, model.norm, x_here, apart);
  Best best = {-3e38f, 0, 0x7fffffff};
  for (int first = worker; first < VOCABULARY; first += 4 * workers) {
    Weights<4, HIDDEN> four;
    float sums[4][R];
    four.fetch(model.head, first, workers, VOCABULARY);
    four.times(x_here, apart, sums);
#pragma unroll
    for (int n = 0; n < 4; n++) {
      const int token = first + n * workers;
      const float logit = rounded(own<R>(sums[n]));
      if (token >= VOCABULARY || lane >= R || row >= pass.count) continue;
      const long long at = (long long)row * VOCABULARY + token;
      model.logits[at] = logit;
      const Best found = {model.allowed[at] ? logit : NEVER, 1, token};
      better(best, found);
    }
  }
  float *kept = merge;  // (WARPS, R, 3)
  if (lane < R) {
    float *to = kept + (warp * R + row) * 3;
    to[0] = best.top, to[1] = best.sum, to[2] = __int_as_float(best.token);
  }
  __syncthreads();
  if (tid < R) {
    for (int i = 1; i < WARPS; i++) {
      const float *from = kept + (i * R + tid) * 3;
      const Best other = {from[0], from[1], __float_as_int(from[2])};
      better(best, other);
    }
    float *to = bests + (blockIdx.x * R + tid) * 3;
    to[0] = best.top, to[1] = best.sum, to[2] = __int_as_float(best.token);
  }
  wait_for_all(model.arrived, awaited);
  if (blockIdx.x == 0 && warp < pass.count) {
    Best all = {-3e38f, 0, 0x7fffffff};
    for (int i = lane; i < gridDim.x; i += 32) {
      const float *from = bests + (i * R + warp) * 3;
      const Best other = {__ldcg(from), __ldcg(from + 1), __float_as_int(__ldcg(from + 2))};
      better(all, other);
    }
    for (int step = 16; step; step >>= 1) {
      const Best other = {__shfl_xor_sync(ALL_LANES, all.top, step), __shfl_xor_sync(ALL_LANES, all.sum, step),
                          __shfl_xor_sync(ALL_LANES, all.token, step)};
      better(all, other);
    }
    if (lane == 0) {
      model.told[2 * warp] = (float)all.token, model.told[2 * warp + 1] = 1 / all.sum;
      __threadfence_system();
    }
  }
}

#ifndef EMULATED
extern "C" __global__ void __launch_bounds__(THREADS, 1) rows_1(const __grid_constant__ Model model, const __grid_constant__ Pass<1> pass) { run<1>(model, pass); }
extern "C" __global__ void __launch_bounds__(THREADS, 1) rows_8(const __grid_constant__ Model model, const __grid_constant__ Pass<8> pass) { run<8>(model, pass); }
#endif
