package segcdc;

import com.microsoft.sqlserver.jdbc.ISQLServerBulkData;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.IntFunction;

/** Rows for SQLServerBulkCopy. */
final class Rows implements ISQLServerBulkData {
    private final List<Column> columns;
    private final int count;
    private final transient IntFunction<Object[]> row;
    private int current = -1;

    Rows(List<Column> columns, int count, IntFunction<Object[]> row) {
        this.columns = columns;
        this.count = count;
        this.row = row;
    }

    @Override
    public Set<Integer> getColumnOrdinals() {
        Set<Integer> ordinals = new LinkedHashSet<>();
        for (int index = 1; index <= columns.size(); index++) {
            ordinals.add(index);
        }
        return ordinals;
    }

    @Override
    public String getColumnName(int column) {
        return columns.get(column - 1).name;
    }

    @Override
    public int getColumnType(int column) {
        return columns.get(column - 1).jdbcType;
    }

    @Override
    public int getPrecision(int column) {
        return columns.get(column - 1).precision;
    }

    @Override
    public int getScale(int column) {
        return columns.get(column - 1).scale;
    }

    @Override
    public Object[] getRowData() {
        return row.apply(current);
    }

    @Override
    public boolean next() {
        current++;
        return current < count;
    }
}
