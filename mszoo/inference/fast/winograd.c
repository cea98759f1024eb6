/* Convolutions of 3 x 3 and 1 x 1 with rectifiers between them, on images with the channels last.

   The 3 x 3 ones by Winograd's minimal filtering F(4 x 4, 3 x 3): an output tile of 4 x 4 pixels takes 36 products for each
   pair of channels in place of 144 (Lavin & Gray, Fast algorithms for convolutional neural networks, CVPR 2016, with its
   matrices B and A). A block of tiles goes through a whole stage while it is in the processor's cache. */

#include <stdlib.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(32), aligned(4)));

enum {
    LANES = 8,
    ROWS = 6, COLUMNS = 16, /* of a product that stays in the registers */
    TILES = 12, PIXELS = 16 * TILES, /* of a block; multiples of ROWS */
};

#define AT(pointer) (*(lanes *)(pointer))

/* Memory of this thread, kept for its next call; NULL if there is none to be had. */
static float *scratch(size_t floats)
{
    static _Thread_local float *memory;
    static _Thread_local size_t room;
    if (room < floats) {
        free(memory);
        memory = aligned_alloc(64, (floats * sizeof(float) + 63) / 64 * 64);
        room = memory ? floats : 0;
    }
    return memory;
}

/* Columns of B^T d, and of A^T m. */
static inline void enter(const lanes d[6], lanes out[6])
{
    const lanes even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], far = d[4] - d[2], twice = 2 * (d[3] - d[1]);
    out[0] = 4 * d[0] - 5 * d[2] + d[4];
    out[1] = even + odd;
    out[2] = even - odd;
    out[3] = far + twice;
    out[4] = far - twice;
    out[5] = 4 * d[1] - 5 * d[3] + d[5];
}

static inline void leave(const lanes m[6], lanes out[4])
{
    const lanes near = m[1] + m[2], across = m[1] - m[2], far = m[3] + m[4], beyond = m[3] - m[4];
    out[0] = m[0] + near + far;
    out[1] = across + 2 * beyond;
    out[2] = near + 4 * far;
    out[3] = across + 8 * beyond + m[5];
}

static inline lanes rectified(lanes x)
{
    for (int i = 0; i < LANES; i++) x[i] = x[i] < 0 ? 0 : x[i]; /* NaN stays NaN */
    return x;
}

/* c = a b for six rows of a and a panel of 16 columns of b. By name, and not inlined, for all sums to stay in registers. */
#define ROW(action) action(0) action(1) action(2) action(3) action(4) action(5)
#define START(row) lanes left##row = {0}, right##row = {0};
#define ADD(row) left##row += a[row * inputs] * left, right##row += a[row * inputs] * right;
#define END(row) \
    AT(c + row * outputs) = rectify ? rectified(left##row) : left##row; \
    AT(c + row * outputs + LANES) = rectify ? rectified(right##row) : right##row;

static __attribute__((noinline)) void panel(const float *restrict a, const float *restrict b, float *restrict c, int inputs,
                                            int outputs, int rectify)
{
    ROW(START)
    for (int k = 0; k < inputs; k++, a++, b += COLUMNS) {
        const lanes left = AT(b), right = AT(b + LANES);
        ROW(ADD)
    }
    ROW(END)
}

/* c = a b for ROWS rows of a and all columns of b, which lie in panels. */
static void multiply(const float *a, const float *b, float *c, int inputs, int outputs, int rectify)
{
    for (int column = 0; column < outputs; column += COLUMNS)
        panel(a, b + column * inputs, c + column, inputs, outputs, rectify);
}

/* Layers of 1 x 1 on rows of channels (a multiple of ROWS); returns which of the two buffers holds the last one's. */
static float *mix(float *from, float *to, const float *weights, int rows, int layers, int channels, int rectify)
{
    for (int layer = 0; layer < layers; layer++, weights += channels * channels) {
        for (int row = 0; row < rows; row += ROWS)
            multiply(from + row * channels, weights, to + row * channels, channels, channels, rectify);
        float *swap = from;
        from = to;
        to = swap;
    }
    return from;
}

/* Layers of 1 x 1, each rectified if asked for. x, y: pixels x channels, these a multiple of COLUMNS; weights: in panels.
   Returns 0, or 1 if there is no memory. */
int mszoo_mix(const float *x, float *y, long pixels, int channels, const float *weights, int layers, int rectify, int threads)
{
    int failed = 0;
    #pragma omp parallel for schedule(static) num_threads(threads)
    for (long first = 0; first < pixels; first += PIXELS) {
        const int here = pixels - first < PIXELS ? pixels - first : PIXELS;
        float *from = scratch(2 * (size_t)PIXELS * channels);
        if (!from) {
            failed = 1;
            continue;
        }
        const size_t bytes = (size_t)here * channels * sizeof(float);
        memset(from + here * channels, 0, (size_t)(PIXELS - here) * channels * sizeof(float));
        memcpy(from, x + first * channels, bytes);
        from = mix(from, from + PIXELS * channels, weights, (here + ROWS - 1) / ROWS * ROWS, layers, channels, rectify);
        memcpy(y + first * channels, from, bytes);
    }
    return failed;
}

/* A 3 x 3 convolution with zeros around the image and then layers of 1 x 1, each rectified if asked for.

   x: images x height x width x inputs, y: the same with outputs; kernels: 36 transformed ones in panels; weights: of the
   1 x 1 layers, in panels. inputs a multiple of LANES, outputs of COLUMNS. Returns 0, or 1 if there is no memory. */
int mszoo_convolve(const float *x, float *y, long images, int height, int width, int inputs, int outputs,
                   const float *kernels, const float *weights, int layers, int rectify, int threads)
{
    const int down = (height + 3) / 4, across = (width + 3) / 4;
    const long tiles = images * down * across;
    /* A little more than a power of two, lest the 36 products of a tile fall on the same lines of the cache. */
    const int before = TILES * inputs + COLUMNS, after = TILES * outputs + COLUMNS;
    int failed = 0;
    #pragma omp parallel for schedule(static) num_threads(threads)
    for (long first = 0; first < tiles; first += TILES) {
        const int here = tiles - first < TILES ? tiles - first : TILES;
        float *entered = scratch(36 * (size_t)(before + after) + 2 * (size_t)PIXELS * outputs + inputs);
        if (!entered) {
            failed = 1;
            continue;
        }
        float *products = entered + 36 * before, *left = products + 36 * after, *zeros = left + 2 * PIXELS * outputs;
        memset(zeros, 0, inputs * sizeof(float));
        if (here < TILES) memset(entered, 0, 36 * (size_t)before * sizeof(float));

        for (int tile = 0; tile < here; tile++) {
            const long at = first + tile, image = at / (down * across);
            const int top = at / across % down * 4 - 1, side = at % across * 4 - 1;
            const float *pixel[6][6];
            for (int i = 0; i < 6; i++)
                for (int j = 0; j < 6; j++) {
                    const int row = top + i, column = side + j, inside = row >= 0 && row < height && column >= 0 && column < width;
                    pixel[i][j] = inside ? x + ((image * height + row) * width + column) * inputs : zeros;
                }
            for (int c = 0; c < inputs; c += LANES) {
                lanes half[6][6], line[6], out[6];
                for (int j = 0; j < 6; j++) {
                    for (int i = 0; i < 6; i++) line[i] = AT(pixel[i][j] + c);
                    enter(line, out);
                    for (int i = 0; i < 6; i++) half[i][j] = out[i];
                }
                for (int i = 0; i < 6; i++) {
                    enter(half[i], out);
                    for (int j = 0; j < 6; j++) AT(entered + (6 * i + j) * before + tile * inputs + c) = out[j];
                }
            }
        }

        for (int k = 0; k < 36; k++)
            for (int tile = 0; tile < here; tile += ROWS)
                multiply(entered + k * before + tile * inputs, kernels + k * inputs * outputs,
                         products + k * after + tile * outputs, inputs, outputs, 0);

        for (int tile = 0; tile < here; tile++)
            for (int c = 0; c < outputs; c += LANES) {
                lanes half[4][6], line[6], out[4];
                for (int j = 0; j < 6; j++) {
                    for (int i = 0; i < 6; i++) line[i] = AT(products + (6 * i + j) * after + tile * outputs + c);
                    leave(line, out);
                    for (int i = 0; i < 4; i++) half[i][j] = out[i];
                }
                for (int i = 0; i < 4; i++) {
                    leave(half[i], out);
                    for (int j = 0; j < 4; j++)
                        AT(left + (16 * tile + 4 * i + j) * outputs + c) = rectify ? rectified(out[j]) : out[j];
                }
            }
        const int rows = (16 * here + ROWS - 1) / ROWS * ROWS;
        const float *done = mix(left, left + PIXELS * outputs, weights, rows, layers, outputs, rectify);

        for (int tile = 0; tile < here; tile++) {
            const long at = first + tile, image = at / (down * across);
            const int top = at / across % down * 4, side = at % across * 4;
            const int wide = width - side < 4 ? width - side : 4;
            for (int i = 0; i < 4 && top + i < height; i++)
                memcpy(y + ((image * height + top + i) * width + side) * outputs, done + (16 * tile + 4 * i) * outputs,
                       (size_t)wide * outputs * sizeof(float));
        }
    }
    return failed;
}
