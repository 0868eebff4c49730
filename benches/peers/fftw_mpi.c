/* Pairs of FFTW-MPI's real transforms of a cube (slabs, transposed in spectral space): fft.py builds and runs it.
   usage: fftw_mpi N PAIRS; prints one line of JSON: the median over the pairs of the slowest rank's time. */
#include <fftw3-mpi.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    fftw_mpi_init();
    int rank, ranks;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    const ptrdiff_t n = argc > 1 ? atol(argv[1]) : 128;
    const int pairs = argc > 2 ? atoi(argv[2]) : 9;

    ptrdiff_t planes, first, rows, first_row;
    const ptrdiff_t room =
        fftw_mpi_local_size_3d_transposed(n, n, n / 2 + 1, MPI_COMM_WORLD, &planes, &first, &rows, &first_row);
    double *grid = fftw_alloc_real(2 * room);
    fftw_complex *modes = fftw_alloc_complex(room);
    fftw_plan forward =
        fftw_mpi_plan_dft_r2c_3d(n, n, n, grid, modes, MPI_COMM_WORLD, FFTW_MEASURE | FFTW_MPI_TRANSPOSED_OUT);
    fftw_plan backward =
        fftw_mpi_plan_dft_c2r_3d(n, n, n, modes, grid, MPI_COMM_WORLD, FFTW_MEASURE | FFTW_MPI_TRANSPOSED_IN);

    const ptrdiff_t pitch = 2 * (n / 2 + 1), all = planes * n * pitch;
    for (ptrdiff_t i = 0; i < all; i++) grid[i] = sin(0.37 * (double)(i % 1009));
    double *seconds = malloc(pairs * sizeof *seconds), error = 0, largest;
    const double scale = 1 / ((double)n * n * n);
    for (int pair = -1; pair < pairs; pair++) {
        MPI_Barrier(MPI_COMM_WORLD);
        double clock = MPI_Wtime();
        fftw_execute(forward);
        fftw_execute(backward);
        clock = MPI_Wtime() - clock;
        if (pair >= 0) MPI_Allreduce(&clock, &seconds[pair], 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
        /* FFTW's transforms are not normalised; keeping the numbers bounded is not timed. */
        for (ptrdiff_t i = 0; i < all; i++) {
            grid[i] *= scale;
            const double off = fabs(grid[i] - sin(0.37 * (double)(i % 1009)));
            if (pair < 0 && i % pitch < n && off > error) error = off;
        }
    }
    MPI_Allreduce(&error, &largest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    qsort(seconds, pairs, sizeof *seconds, ascending);
    if (rank == 0)
        printf("{\"peer\":\"fftw-mpi\",\"n\":%td,\"kind\":\"full\",\"ranks\":%d,\"threads\":1,\"seconds\":%.6f,\"error\":%.2e}\n",
               n, ranks, seconds[pairs / 2], largest);
    MPI_Finalize();
    return 0;
}
